import torch

from engine.dense import dense_prompt


def test_click_is_positive_at_its_place_and_fades_to_minus_four() -> None:
    logits = dense_prompt(torch.tensor([[0.25, 0.5]]), torch.tensor([1]), 64)
    assert logits.shape == (1, 1, 64, 64)
    assert logits.dtype == torch.float32
    y, x = divmod(int(logits.argmax()), 64)
    assert x in (15, 16)
    assert y in (31, 32)
    assert logits.max() > 3.5
    assert (logits[..., 40:] == -4).all()


def test_box_is_filled_and_a_negative_click_cuts_into_it() -> None:
    corners = torch.tensor([[0.25, 0.5], [0.75, 1.0], [0.5, 0.75]])
    box = dense_prompt(corners[:2], torch.tensor([2, 3]), 64)[0, 0]
    assert (box == 4).sum() == 32 * 32
    assert (box[32:, 16:48] == 4).all()
    cut = dense_prompt(corners, torch.tensor([2, 3, 0]), 64)[0, 0]
    assert cut[48, 32] < -3.5
    assert cut[33, 17] == 4
    assert (cut <= box).all()


def test_tiny_box_marks_at_least_one_cell() -> None:
    corners = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    assert (dense_prompt(corners, torch.tensor([2, 3]), 64) == 4).any()


def test_batch_equals_its_rows_and_padding_is_nothing() -> None:
    points = torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[2, 3, 1, 0], [1, 1, 0, -1], [1, -1, -1, -1]])
    batch = dense_prompt(points, labels, 32)
    for row, (xy, label) in enumerate(zip(points, labels, strict=True)):
        torch.testing.assert_close(batch[row], dense_prompt(xy[label >= 0], label[label >= 0], 32)[0])
