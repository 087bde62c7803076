"""Convolutional layers for observations that are images or stacks of images."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from footlight.errors import UserError, counted

Torso = Literal["auto", "mlp", "nature", "small"]

# (channels, kernel size, stride) of each layer
_LAYERS: dict[str, tuple[tuple[int, int, int], ...]] = {
    # Mnih et al. 2015, followed there by a linear layer of 512 units
    "nature": ((32, 8, 4), (64, 4, 2), (64, 3, 1)),
    "small": ((16, 5, 2), (32, 5, 2), (32, 5, 2)),
}


def choose_torso(torso: Torso, observation_shape: tuple[int, ...], observation_dtype: str) -> Torso:
    """Resolve "auto": "nature" for images of bytes that are large enough, otherwise "mlp"."""
    if torso != "auto":
        return torso
    is_image = observation_dtype == "uint8" and 2 <= len(observation_shape) <= 4
    if is_image and min(_image_shape(observation_shape)[1:]) >= _min_size("nature"):
        return "nature"
    return "mlp"


def convolutions(
    torso: Torso,
    observation_shape: tuple[int, ...],
    layer_norm: Callable[[list[int]], nn.Module] | None,
    activation: Callable[[], nn.Module],
) -> tuple[list[nn.Module], int]:
    """Create the layers of `torso`; return them and their number of features.

    Convolution - (LayerNorm) - activation for each layer, then flattened. Raises `UserError` for
    images that are too small, and for observations that are not images.
    """
    if not 2 <= len(observation_shape) <= 4:
        raise UserError(
            f"torso is {torso} - observations of shape {observation_shape} are not images - "
            "use torso mlp"
        )
    channels, height, width = _image_shape(observation_shape)
    layers: list[nn.Module] = [AsImage(observation_shape)]
    for out_channels, kernel, stride in _LAYERS[torso]:
        height, width = ((size - kernel) // stride + 1 for size in (height, width))
        if min(height, width) < 1:
            raise UserError(_too_small(torso, observation_shape))
        layers.append(nn.Conv2d(channels, out_channels, kernel, stride))
        if layer_norm is not None:
            layers.append(layer_norm([out_channels, height, width]))
        layers.append(activation())
        channels = out_channels
    return [*layers, nn.Flatten()], channels * height * width


def _too_small(torso: Torso, observation_shape: tuple[int, ...]) -> str:
    channels, height, width = _image_shape(observation_shape)
    size = _min_size(torso)
    alternatives = [name for name in _LAYERS if min(height, width) >= _min_size(name)]
    return (
        f"torso is {torso} - images of {height} x {width} pixels with "
        f"{counted(channels, 'channel')} are too small for its convolutions, which need "
        f"{size} x {size} - use torso {' or '.join([*alternatives, 'mlp'])}, or larger images"
    )


def _min_size(torso: str) -> int:
    """Minimum height and width with which all layers have an output."""
    size = 1
    for _, kernel, stride in reversed(_LAYERS[torso]):
        size = (size - 1) * stride + kernel
    return size


class AsImage(nn.Module):
    """Convert observations [B, *observation shape] to float images [B, C, H, W].

    Bytes are scaled to [0, 1]. The memory format is channels last, in which convolutions on a CPU
    take half the time.
    """

    def __init__(self, observation_shape: tuple[int, ...]) -> None:
        super().__init__()
        self._shape = observation_shape

    def forward(self, observation: Tensor) -> Tensor:
        """See the class."""
        if len(self._shape) == 2:
            observation = observation[:, None]
        elif len(self._shape) == 4:  # stacked color images: concatenate their color channels
            observation = observation.permute(0, 1, 4, 2, 3).flatten(1, 2)
        elif _channels_last(self._shape):
            observation = observation.permute(0, 3, 1, 2)
        numbers = observation.float()
        scaled = numbers / 255 if observation.dtype == torch.uint8 else numbers
        return scaled.contiguous(memory_format=torch.channels_last)


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of observations of this shape.

    The shape is H x W, C x H x W, H x W x C, or frames x H x W x C.
    """
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    if len(shape) == 4:
        return shape[0] * shape[3], shape[1], shape[2]
    if _channels_last(shape):
        return shape[2], shape[0], shape[1]
    return shape[0], shape[1], shape[2]


def _channels_last(shape: tuple[int, ...]) -> bool:
    """Whether the last of three dimensions is that of the channels.

    Two equal neighboring dimensions are height and width, as in stacks of any number of Atari
    frames. If both pairs are equal, or neither, the smaller of the first and last dimension is that
    of the channels.
    """
    square_first, square_last = shape[0] == shape[1], shape[1] == shape[2]
    return square_first if square_first != square_last else shape[2] < shape[0]
