"""What the owner of the data agrees to, said with every connection."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from . import _wire
from .progress import Progress
from .stream import Stream, StreamLost

PURPOSE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}")
# No transfer's: those count from 1.
REQUEST = 2**63
AGAIN_SECONDS = 5.0


class Consent:
    """All purposes that are agreed to, each with the version of its text; what is not among them is withdrawn. None: nothing is said, and what was said before stands."""

    def __init__(self, purposes: Mapping[str, str] | None, progress: Progress) -> None:
        for purpose, version in (purposes or {}).items():
            if not PURPOSE.fullmatch(purpose) or not VERSION.fullmatch(version):
                raise ValueError(
                    f"consent is {{purpose: version of its text}}, such as {{'ecg-screening': '2026-11'}}, not {{{purpose!r}: {version!r}}}"
                )
        self._purposes = None if purposes is None else dict(purposes)
        self._progress = progress

    def say(self, stream: Stream) -> None:
        """Whole, once per connection. A server that does not know the frame would end the stream for it."""
        if self._purposes is None:
            return
        if not stream.welcome.takes_purposes:
            self._progress.line("this server knows no consent: nothing was said of it")
            return
        given = [{"name": purpose, "version": version} for purpose, version in self._purposes.items()]
        try:
            stream.send(_wire.ClientFrame(purposes={"request_id": REQUEST, "given": given}))
        except StreamLost:
            pass  # the next one says it

    def heard(self, stream: Stream, kind: str, frame: Any) -> bool:
        """Whether the frame answers what was said."""
        if kind == "purposes_kept":
            named = ", ".join(f"{purpose} {version}" for purpose, version in (self._purposes or {}).items())
            self._progress.line(f"consent is kept by the server: {named or 'to nothing'}")
            return True
        if kind != "refusal" or frame.refusal.request_id != REQUEST:
            return False
        refusal = frame.refusal
        self._progress.line(f"consent was not kept: {refusal.detail or 'refused'} [{refusal.code}]")
        if refusal.again:
            again = threading.Timer(AGAIN_SECONDS, self.say, (stream,))
            again.daemon = True
            again.start()
        return True
