"""The image tower itself moves: fine-tuning in two phases, LoRA, and the way back (WiSE-FT).

The text tower stays: classes and captions are told apart by the vectors that it gives already
(Zhai et al., LiT: Zero-Shot Transfer with Locked-image Text Tuning, CVPR 2022, the other way
round). So a tuned model answers every old query, and needs no text pipeline of its own.
"""
