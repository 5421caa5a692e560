"""The towers in plain torch, with the names that timm and open_clip give their tensors."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (1, 2, 2, 2, 1, 2, 1)
EPSILON = 1e-3


class ImageTower(nn.Module):
    """EfficientNet-Lite2 with an MLP head; batch normalisation by the statistics it came with.

    Args:
        state: open_clip's tensors of the image side, without the prefix "visual.".
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.names = {name: name.replace(".", "/") for name in state}
        for name, tensor in state.items():
            if "num_batches" in name:
                continue
            tensor = tensor.float().clone()
            if "running" in name:
                self.register_buffer(self.names[name], tensor)
            else:
                self.register_parameter(self.names[name], nn.Parameter(tensor))
        stages: dict[int, int] = {}
        for name in state:
            if name.startswith("trunk.blocks."):
                stage, block = map(int, name.split(".")[2:4])
                stages[stage] = max(stages.get(stage, 0), block + 1)
        self.blocks = [(s, b) for s in sorted(stages) for b in range(stages[s])]

    def features(self, pixels: Tensor) -> Tensor:
        """Return the pooled features (batch, 1280) of pixels scaled to -1 to 1."""
        x = self._convolved(pixels, "trunk.conv_stem", "trunk.bn1", stride=2)
        for stage, block in self.blocks:
            at = f"trunk.blocks.{stage}.{block}"
            stride = STRIDES[stage] if block == 0 else 1
            y = x
            if f"{at}.conv_pwl.weight" in self.names:
                y = self._convolved(y, f"{at}.conv_pw", f"{at}.bn1")
                y = self._convolved(y, f"{at}.conv_dw", f"{at}.bn2", stride, depthwise=True)
                y = self._convolved(y, f"{at}.conv_pwl", f"{at}.bn3", act=False)
            else:
                y = self._convolved(y, f"{at}.conv_dw", f"{at}.bn1", stride, depthwise=True)
                y = self._convolved(y, f"{at}.conv_pw", f"{at}.bn2", act=False)
            x = x + y if stride == 1 and x.shape[1] == y.shape[1] else y
        x = self._convolved(x, "trunk.conv_head", "trunk.bn2")
        return x.mean((2, 3), dtype=torch.float32)

    def head(self, features: Tensor) -> Tensor:
        """Return embeddings (batch, 512), not normalised."""
        hidden = functional.gelu(
            functional.linear(
                features, self._t("head.mlp.fc1.weight"), self._t("head.mlp.fc1.bias")
            )
        )
        return functional.linear(
            hidden, self._t("head.mlp.fc2.weight"), self._t("head.mlp.fc2.bias")
        )

    def state(self) -> dict[str, Tensor]:
        """Return the tensors by open_clip's names."""
        kept = self.state_dict()
        return {name: kept[key] for name, key in self.names.items() if key in kept}

    def _t(self, name: str) -> Tensor:
        tensor: Tensor = getattr(self, self.names[name])
        return tensor

    def _convolved(
        self,
        x: Tensor,
        convolution: str,
        norm: str,
        stride: int = 1,
        depthwise: bool = False,
        act: bool = True,
    ) -> Tensor:
        scale = self._t(f"{norm}.weight") * (self._t(f"{norm}.running_var") + EPSILON).rsqrt()
        bias = self._t(f"{norm}.bias") - self._t(f"{norm}.running_mean") * scale
        weight = self._t(f"{convolution}.weight") * scale[:, None, None, None]
        kernel = weight.shape[-1]
        padding = kernel // 2
        if stride > 1:
            pads = [max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:]]
            top, left = pads[0] // 2, pads[1] // 2
            x = functional.pad(x, (left, pads[1] - left, top, pads[0] - top))
            padding = 0
        groups = x.shape[1] if depthwise else 1
        x = functional.conv2d(
            x, weight.to(x.dtype), bias.to(x.dtype), stride, padding, groups=groups
        )
        return functional.relu6(x, inplace=True) if act else x


class TextTower(nn.Module):
    """CLIP's causal text transformer.

    Args:
        state: open_clip's tensors of the text side; the token embedding may be cut to used rows.
        heads: The number of attention heads.
    """

    def __init__(self, state: dict[str, Tensor], heads: int = 4) -> None:
        super().__init__()
        self.names = {name: name.replace(".", "/") for name in state}
        self.heads = heads
        for name, tensor in state.items():
            self.register_parameter(self.names[name], nn.Parameter(tensor.float().clone()))
        self.layers = sum(name.endswith("ln_1.weight") for name in state)

    def forward(self, ids: Tensor, ends: Tensor) -> Tensor:
        """Return embeddings (batch, 512), not normalised; `ends` are the end tokens' places."""
        width = self._t("token_embedding.weight").shape[1]
        x = functional.embedding(ids, self._t("token_embedding.weight"))
        x = x + self._t("positional_embedding")[: ids.shape[1]]
        for layer in range(self.layers):
            at = f"transformer.resblocks.{layer}"
            y = self._normed(x, f"{at}.ln_1")
            y = functional.linear(
                y, self._t(f"{at}.attn.in_proj_weight"), self._t(f"{at}.attn.in_proj_bias")
            )
            q, k, v = (
                part.unflatten(2, (self.heads, width // self.heads)).transpose(1, 2)
                for part in y.chunk(3, dim=2)
            )
            y = (
                functional.scaled_dot_product_attention(q, k, v, is_causal=True)
                .transpose(1, 2)
                .flatten(2)
            )
            x = x + self._linear(y, f"{at}.attn.out_proj")
            y = functional.gelu(self._linear(self._normed(x, f"{at}.ln_2"), f"{at}.mlp.c_fc"))
            x = x + self._linear(y, f"{at}.mlp.c_proj")
        last = x[torch.arange(len(x), device=x.device), ends]
        return self._normed(last, "ln_final").float() @ self._t("text_projection")

    def state(self) -> dict[str, Tensor]:
        """Return the tensors by open_clip's names."""
        kept = self.state_dict()
        return {name: kept[key] for name, key in self.names.items()}

    def _t(self, name: str) -> Tensor:
        tensor: Tensor = getattr(self, self.names[name])
        return tensor

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self._t(f"{name}.weight"), self._t(f"{name}.bias"))

    def _normed(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            x, x.shape[-1:], self._t(f"{name}.weight"), self._t(f"{name}.bias")
        )


@torch.no_grad()
def sentence_embeddings(state: dict[str, Tensor], ids: Tensor, heads: int = 12) -> Tensor:
    """Return all-MiniLM-L6-v2's normalised embeddings (batch, 384) of padded word-piece ids."""
    mask = ids != 0
    x = functional.embedding(ids, state["embeddings.word_embeddings.weight"])
    x = x + state["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = x + state["embeddings.token_type_embeddings.weight"][0]
    width = x.shape[-1]

    def normed(x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            x, (width,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-12
        )

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    x = normed(x, "embeddings.LayerNorm")
    seen = mask[:, None, None, :].expand(-1, 1, ids.shape[1], -1)
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        q, k, v = (
            linear(x, f"{at}.attention.self.{part}")
            .unflatten(2, (heads, width // heads))
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )
        y = (
            functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
            .transpose(1, 2)
            .flatten(2)
        )
        x = normed(
            x + linear(y, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm"
        )
        y = linear(functional.gelu(linear(x, f"{at}.intermediate.dense")), f"{at}.output.dense")
        x = normed(x + y, f"{at}.output.LayerNorm")
    mean = (x * mask[..., None]).sum(1, dtype=torch.float32) / mask.sum(1, keepdim=True)
    return functional.normalize(mean, dim=1)
