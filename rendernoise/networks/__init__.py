"""Networks: a dict from name to class, one file each. To add one: a subclass of ``Network`` and a line here."""

from __future__ import annotations

from rendernoise.errors import InputError
from rendernoise.networks.kernel_pyramid import FastKernelPyramid, KernelPyramid
from rendernoise.networks.n2v_unet import N2V2UNet, N2VUNet
from rendernoise.networks.network import Network
from rendernoise.networks.shuffled_unet import ShuffledUNet
from rendernoise.networks.unet import UNet
from rendernoise.networks.unet_log import UNetLog

NETWORKS: dict[str, type[Network]] = {
    "kernel_pyramid": KernelPyramid,
    "fast": FastKernelPyramid,
    "shuffled_unet": ShuffledUNet,
    "unet": UNet,
    "unet_log": UNetLog,
    "n2v": N2VUNet,
    "n2v2": N2V2UNet,
}
DEFAULT_NETWORK = "kernel_pyramid"


def network_class(name: str) -> type[Network]:
    """The network of that name; raises ``InputError`` for an unknown one."""
    if name not in NETWORKS:
        raise InputError(f"there is no network {name!r}", f"Choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name]
