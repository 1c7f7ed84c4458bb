"""``from arqonbus.sdk import ArqonBusClient``: the client under the name that earlier programs import it by."""

from .client import ArqonBusClient

__all__ = ["ArqonBusClient"]
