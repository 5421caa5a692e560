"""Fine-tuning of the image tower: all weights or a few (LoRA and others), then WiSE-FT.

The text tower stays frozen: classes and captions keep the vectors that it already gives them (Zhai
et al., LiT: Zero-Shot Transfer with Locked-image Text Tuning, CVPR 2022, with the towers swapped).
So a tuned model answers every old query and needs no text pipeline of its own.
"""
