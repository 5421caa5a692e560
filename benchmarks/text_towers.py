"""The text towers that open_clip takes from transformers, by their sizes."""

# What hub configurations say of the text towers that open_clip takes from transformers.
TRANSFORMERS = {
    "roberta-base": (
        "RobertaConfig",
        {
            "vocab_size": 50265,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
    "xlm-roberta-base": (
        "XLMRobertaConfig",
        {
            "vocab_size": 250002,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
    "xlm-roberta-large": (
        "XLMRobertaConfig",
        {
            "vocab_size": 250002,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
    "google/mt5-base": (
        "MT5Config",
        {
            "vocab_size": 250112,
            "d_model": 768,
            "d_kv": 64,
            "d_ff": 2048,
            "num_layers": 12,
            "num_heads": 12,
            "feed_forward_proj": "gated-gelu",
        },
    ),
    "google/mt5-xl": (
        "MT5Config",
        {
            "vocab_size": 250112,
            "d_model": 2048,
            "d_kv": 64,
            "d_ff": 5120,
            "num_layers": 24,
            "num_heads": 32,
            "feed_forward_proj": "gated-gelu",
        },
    ),
    "facebook/nllb-200-distilled-600M": (
        "M2M100Config",
        {
            "vocab_size": 256206,
            "d_model": 1024,
            "encoder_layers": 12,
            "decoder_layers": 12,
            "encoder_ffn_dim": 4096,
            "decoder_ffn_dim": 4096,
            "activation_function": "relu",
            "max_position_embeddings": 1024,
            "scale_embedding": True,
        },
    ),
    "facebook/nllb-200-distilled-1.3B": (
        "M2M100Config",
        {
            "vocab_size": 256206,
            "d_model": 1024,
            "encoder_layers": 24,
            "decoder_layers": 24,
            "encoder_ffn_dim": 8192,
            "decoder_ffn_dim": 8192,
            "activation_function": "relu",
            "max_position_embeddings": 1024,
            "scale_embedding": True,
        },
    ),
}
