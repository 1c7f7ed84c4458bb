"""A fake bus with groups, mailboxes, receipts and requests to channels: as much of them as a client gets to see."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from fake_bus import FakeBus, Frame, Peer

from arqonbus.address import Address, mailbox_of

FEATURES = ["options", "groups", "mailboxes", "receipts", "requests", "wait", "presence-state", "patterns", "leases"]


@dataclass
class Lease:
    event: Frame
    peer: Peer | None
    attempt: int


@dataclass
class Group:
    source: Address
    name: str
    waiting: deque[tuple[Frame, int]] = field(default_factory=deque)
    members: dict[str, tuple[Peer, int]] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    handled: list[Frame] = field(default_factory=list)
    dead: list[tuple[Frame, str]] = field(default_factory=list)


class DeliveryBus(FakeBus):
    def __init__(self) -> None:
        super().__init__()
        self.features = [*FEATURES]
        self.groups: dict[tuple[str, str, str], Group] = {}
        self._tokens = 0

    def group(self, room: str, channel: str, name: str) -> Group:
        return self.groups.setdefault((room, channel, name), Group(Address(room, channel), name))

    async def publish(self, room: str, channel: str, payload: Frame, sender: str = "arq_client_other") -> Frame:
        event = await super().publish(room, channel, payload, sender)
        await self._enqueue(event)
        return event

    async def lose(self, group: Group) -> None:
        """Every lease of a group is over."""
        for token, lease in list(group.leases.items()):
            del group.leases[token]
            group.waiting.append((lease.event, lease.attempt + 1))
        await self.hand_out(group)

    async def hand_out(self, group: Group) -> None:
        while group.waiting:
            held = [lease.peer for lease in group.leases.values()]
            busy = [(held.count(peer), peer, prefetch) for peer, prefetch in group.members.values()]
            free = [(count, peer) for count, peer, prefetch in busy if count < prefetch]
            if not free:
                return
            _, peer = min(free, key=lambda each: each[0])
            await peer.send(self.take(group, peer))

    def take(self, group: Group, peer: Peer | None) -> Frame:
        event, attempt = group.waiting.popleft()
        self._tokens += 1
        token = f"{group.name}.{self._tokens}"
        group.leases[token] = Lease(event, peer, attempt)
        deadline = "2026-01-01T00:00:30.000Z"
        facts = {"group": group.name, "attempt": attempt, "token": token, "deadline": deadline}
        told = {name: value for name, value in event.items() if name != "receipt_to"}
        return {**told, "metadata": {**event.get("metadata", {}), "delivery": facts}}

    async def _enqueue(self, event: Frame) -> None:
        for group in self.groups.values():
            if group.source.covers(event["room"], event["channel"]):
                group.waiting.append((event, 1))
                await self.hand_out(group)

    async def _gone(self, peer: Peer) -> None:
        for group in self.groups.values():
            await self._give_back(group, peer)

    async def _give_back(self, group: Group, peer: Peer) -> None:
        group.members.pop(peer.id, None)
        for token, lease in list(group.leases.items()):
            if lease.peer is peer:
                del group.leases[token]
                group.waiting.appendleft((lease.event, lease.attempt + 1))
        await self.hand_out(group)

    async def _event(self, peer: Peer, frame: Frame) -> None:
        request = frame.get("options", {}).get("request")
        if request is None:
            await super()._event(peer, frame)
            return
        group = self.groups.get((frame["room"], frame["channel"], request["group"]))
        if group is None or not group.members:
            more = {"error": "Nobody answers.", "error_code": "NO_RESPONDERS", "request_id": frame["id"]}
            await peer.send(self.frame("error", {"retryable": True}, **more))
            return
        event = self.frame("event", frame["payload"], room=frame["room"], channel=frame["channel"])
        event |= {"id": frame["id"], "from": peer.id}
        event["metadata"] = {"request": {"deadline": "2026-01-01T00:00:30.000Z"}, "sender": {"subject": "asker"}}
        await peer.send(self.frame("ack", {"delivered": 1, "stored": "memory"}, request_id=frame["id"]))
        group.waiting.append((event, 1))
        await self.hand_out(group)

    async def _private(self, peer: Peer, frame: Frame) -> None:
        targets = frame["to"] if isinstance(frame["to"], list) else [frame["to"]]
        mail = [target for target in targets if target.startswith("@")]
        if not mail:
            await super()._private(peer, frame)
            return
        if frame["payload"].get("full"):
            more = {"error": "No room.", "error_code": "MAILBOX_FULL", "request_id": frame["id"]}
            await peer.send(self.frame("error", {"retryable": True}, **more))
            return
        ack = {"delivered": 0, "stored": "disk", "queued": mail, "pending": 1, "oldest_ms": 5}
        await peer.send(self.frame("ack", ack, request_id=frame["id"]))
        for target in mail:
            at = mailbox_of(target[1:])
            message = self.frame("private", frame["payload"], room=at.room, channel=at.channel)
            message |= {"id": frame["id"], "from": peer.id, "to": targets}
            message["metadata"] = {"sender": {"subject": "writer", "type": "service", "role": "user"}}
            message["receipt_to"] = peer if frame.get("options", {}).get("receipt") else None
            self.group(at.room, at.channel, "inbox").waiting.append((message, 1))
            await self.hand_out(self.group(at.room, at.channel, "inbox"))

    def _join(self, peer: Peer, args: Frame) -> tuple[Frame, list[Frame]]:
        if "group" not in args:
            return super()._join(peer, args)
        group = self.group(args["room"], args["channel"], args["group"])
        group.members[peer.id] = (peer, args["prefetch"])
        joined = {"room": args["room"], "channel": args["channel"], "group": group.name}
        return {**joined, "members": len(group.members)}, []

    async def _command(self, peer: Peer, frame: Frame) -> None:
        name, args = frame["command"], frame["args"]
        if name.startswith("delivery.") and name not in self.commands and name not in self.mute:
            await self._settle(peer, frame, name.removeprefix("delivery."), args)
        elif name == "leave_channel" and "group" in args:
            await self._respond(peer, frame, {"left": True})
            await self._give_back(self.group(args["room"], args["channel"], args["group"]), peer)
        else:
            await super()._command(peer, frame)
            if name == "join_channel" and "group" in args:
                await self.hand_out(self.group(args["room"], args["channel"], args["group"]))

    async def _settle(self, peer: Peer, frame: Frame, verb: str, args: Frame) -> None:
        done, lost = [], []
        for token in args["tokens"]:
            group = next((group for group in self.groups.values() if token in group.leases), None)
            if group is None:
                lost.append(token)
                continue
            done.append(token)
            if verb == "extend":
                continue
            lease = group.leases.pop(token)
            if verb == "ack":
                group.handled.append(lease.event)
            elif verb == "nack":
                group.waiting.append((lease.event, lease.attempt + 1))
            else:
                group.dead.append((lease.event, args["reason"]))
            stage = {"ack": "handled", "reject": "rejected"}.get(verb)
            asker = lease.event.get("receipt_to")
            if stage and asker:
                receipt = {"stage": stage, "by": {"subject": "ada"}, "attempts": lease.attempt}
                await asker.send(self.frame("ack", receipt, request_id=lease.event["id"]))
        if lost and not done:
            more = {"status": "error", "error": "The leases have ended.", "error_code": "LEASE_LOST"}
            await self._respond(peer, frame, {"lost": lost}, **more)
        else:
            await self._respond(peer, frame, {"done": done, "lost": lost})
        for group in self.groups.values():
            await self.hand_out(group)

    async def _respond(self, peer: Peer, frame: Frame, payload: Frame, **more: Any) -> None:
        answer = {"request_id": frame["id"], "command": frame["command"], "status": "success", **more}
        await peer.send(self.frame("command_response", payload, **answer))
