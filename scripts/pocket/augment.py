"""Random views of training images, and photos made into sketches, paintings and cartoons."""

import random

import torch
from torch import Tensor
from torch.nn import functional


def boxes(aspects: Tensor, smallest: float, mirror: Tensor) -> Tensor:
    """Return random crops as boxes (batch, 4), mirrored half of the time where that is allowed."""
    count, device = len(aspects), aspects.device
    uniform = torch.rand(5, count, device=device)
    area = smallest + (1 - smallest) * uniform[0]
    # A fifth of the views is what the model's own preprocessing sees.
    area = torch.where(uniform[4] < 0.2, torch.ones_like(area), area)
    ratio = torch.exp((uniform[1] - 0.5) * 0.45) * (area < 1) + (area == 1)
    # Width and height as shares of the image, for a crop that is `ratio` wide to high.
    shape = (ratio / aspects).sqrt()
    square = torch.minimum(aspects, 1 / aspects).sqrt()
    width, height = area.sqrt() * shape, area.sqrt() / shape
    largest = torch.maximum(width, height).clamp(min=1e-6)
    whole = (area == 1).float()
    width = torch.where(whole > 0, square * shape, width / largest.clamp(min=1))
    height = torch.where(whole > 0, square / shape, height / largest.clamp(min=1))
    x = (2 * uniform[2] - 1) * (1 - width).clamp(min=0) * (1 - whole)
    y = (2 * uniform[3] - 1) * (1 - height).clamp(min=0) * (1 - whole)
    sign = torch.where(mirror & (torch.rand(count, device=device) < 0.5), -1.0, 1.0)
    return torch.stack([x, y, width * sign, height], 1)


def coloured(pixels: Tensor) -> Tensor:
    """Return images with brightness, contrast and saturation changed, a few of them grey."""
    some = torch.rand(4, len(pixels), 1, 1, 1, device=pixels.device)
    grey = _grey(pixels)
    pixels = grey + (pixels - grey) * torch.where(some[3] < 0.04, 0.0, 0.7 + 0.6 * some[0])
    mean = grey.mean((2, 3), keepdim=True)
    pixels = mean + (pixels - mean) * (0.75 + 0.5 * some[1])
    return (pixels * (0.8 + 0.4 * some[2])).clamp(0, 1)


def blurred(pixels: Tensor, sigma: float) -> Tensor:
    """Return images after a Gaussian blur."""
    radius = max(1, int(2.5 * sigma + 0.5))
    x = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(pixels.shape[1], 1)
    count = pixels.shape[1]
    pixels = functional.pad(pixels, (radius, radius, radius, radius), mode="replicate")
    pixels = functional.conv2d(pixels, kernel[:, None, None, :], groups=count)
    return functional.conv2d(pixels, kernel[:, None, :, None], groups=count)


def sketched(pixels: Tensor, generator: random.Random) -> Tensor:
    """Return line drawings: dark where a difference of Gaussians falls, else white."""
    sigma = generator.choice((0.7, 1.0, 1.4, 2.0))
    grey = _grey(pixels)
    edges = blurred(grey, sigma) - 0.98 * blurred(grey, 1.6 * sigma)
    lines = 1 + torch.tanh(generator.choice((60.0, 120.0, 250.0)) * (edges - 0.004).clamp(max=0))
    if generator.random() < 0.3:  # Softer, as with a pencil.
        lines = (grey / (blurred(grey, 4 * sigma) + 0.02)).clamp(0, 1) ** 2
    return lines.clamp(0, 1).expand(-1, 3, -1, -1)


def painted(pixels: Tensor, generator: random.Random) -> Tensor:
    """Return images in flat patches (a Kuwahara filter), more saturated."""
    size = generator.choice((4, 6, 8))
    for _ in range(generator.choice((1, 2))):
        padded = functional.pad(pixels, (size, size, size, size), mode="replicate")
        mean = functional.avg_pool2d(padded, size + 1, 1)
        square = functional.avg_pool2d(_grey(padded) ** 2, size + 1, 1)
        variance = square - functional.avg_pool2d(_grey(padded), size + 1, 1) ** 2
        side = pixels.shape[-1]
        corners = [(0, 0), (0, size), (size, 0), (size, size)]
        means = torch.stack([mean[..., y : y + side, x : x + side] for y, x in corners])
        spread = torch.stack([variance[..., y : y + side, x : x + side] for y, x in corners])
        least = spread.argmin(0, keepdim=True).expand(1, -1, 3, -1, -1)
        pixels = means.gather(0, least)[0]
    grey = _grey(pixels)
    return (grey + (pixels - grey) * generator.uniform(0.9, 1.5)).clamp(0, 1)


def cartooned(pixels: Tensor, generator: random.Random) -> Tensor:
    """Return images in few flat colours with dark outlines."""
    lines = sketched(pixels, generator)
    flat = painted(pixels, generator)
    levels = generator.choice((4, 5, 7))
    return (flat * levels).round() / levels * lines


STYLES = (sketched, painted, cartooned)


def _grey(pixels: Tensor) -> Tensor:
    weights = pixels.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True)
