"""How the worker's parts say that something cannot be done."""

from cgi_worker.wire.packets import FailureCode


class StepFailed(Exception):
    """This step cannot be done, through no fault of ours; the text is meant for the person who asked."""

    def __init__(self, code: FailureCode, text: str) -> None:
        super().__init__(text)
        self.code: FailureCode = code
        self.text = text
