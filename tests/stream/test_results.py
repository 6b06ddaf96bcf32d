import json

import msgpack
import numpy as np
import pytest

from engine.types import Frame, MaskSet, ObjectMask, ObjectState
from stream import replies
from stream.outputs.output import Shown
from stream.outputs.results import RESULT_BYTES, ResultsOutput, StateOutput
from stream.stats import Stats


def shown(count: int = 1, counts: str = "011", state: bool = False) -> Shown:
    frame = Frame(7, np.zeros((6, 4), np.uint8), pts=0.5, rtp_timestamp=123, capture_time=1763716680.50004)
    mask = np.zeros((4, 4), bool)
    found = tuple(ObjectMask(i, mask, 0.123456, None, ObjectState.LOST) for i in range(1, count + 1))
    masks = MaskSet(7, found)
    result = replies.result(frame, masks, [{"size": [4, 4], "counts": counts}] * count)
    return Shown(frame, masks, frame.image, result, {"type": "state"} if state else None)


def test_a_result_is_complete_in_itself() -> None:
    sent: list[bytes | str] = []
    ResultsOutput(lambda data: not sent.append(data), Stats(), binary=False).put(shown())
    assert json.loads(sent[0]) == {
        "type": "result",
        "frame_index": 7,
        "rtp_timestamp": 123,
        "pts": 0.5,
        "capture_time": 1763716680.5,
        "width": 4,
        "height": 4,
        "objects": [
            {
                "object_id": 1,
                "score": 0.1235,
                "state": "lost",
                "box": None,
                "rle": {"size": [4, 4], "counts": "011"},
            }
        ],
    }


@pytest.mark.parametrize("binary", [False, True])
def test_a_result_that_is_too_large_goes_without_run_lengths_and_says_so(binary: bool) -> None:
    sent: list[bytes | str] = []
    ResultsOutput(lambda data: not sent.append(data), Stats(), binary=binary).put(shown(8, "x" * 9000))
    (data,) = sent
    message = msgpack.unpackb(data) if isinstance(data, bytes) else json.loads(data)
    assert isinstance(data, bytes) is binary
    assert len(data) < RESULT_BYTES
    assert message["rle_omitted"] is True
    assert [found["object_id"] for found in message["objects"]] == list(range(1, 9))
    assert all("rle" not in found for found in message["objects"])


def test_results_that_cannot_be_sent_are_counted() -> None:
    stats = Stats()
    output = ResultsOutput(lambda data: False, stats, binary=False)
    for _ in range(3):
        output.put(shown())
    assert stats.results_dropped == 3


def test_states_are_sent_when_there_is_one() -> None:
    sent: list[bytes | str] = []
    output = StateOutput(lambda data: not sent.append(data), binary=False)
    output.put(shown())
    output.put(shown(state=True))
    assert sent == ['{"type":"state"}']
