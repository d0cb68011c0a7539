"""Why an app cannot be imported, in a form that a person or a program can act on."""

from __future__ import annotations


class Refusal(Exception):
    """The import stops here. `detail` says what is wrong, `hint` what to do about it."""

    def __init__(self, code: str, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint

    def to_json(self) -> dict[str, object]:
        return {"code": self.code, "detail": self.detail, "hint": self.hint}
