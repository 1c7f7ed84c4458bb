"""``from arqonbus.sdk import ArqonBusClient``: the import path of earlier versions."""

from .client import ArqonBusClient

__all__ = ["ArqonBusClient"]
