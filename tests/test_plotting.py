import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from course_utils import History, mlp, moons, plotting


@pytest.fixture(autouse=True)
def no_figure_is_left_open(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("a plot called show()"))
    yield
    plt.close("all")


def history(val=True):
    history = History()
    for epoch in range(4):
        loss = 1 / (1 + epoch)
        val_loss = loss + 0.1 if val else float("nan")
        history.append(train_loss=loss, val_loss=val_loss, val_acc=0.8, lr=0.1, seconds=1.0)
    return history


def test_history_plot_labels_both_axes_and_marks_the_best_epoch():
    loss_ax, score_ax = history().plot()
    assert loss_ax.get_xlabel() == score_ax.get_xlabel() == "epoch"
    assert "per example" in loss_ax.get_ylabel() and "share" in score_ax.get_ylabel()
    labels = [text.get_text() for text in loss_ax.get_legend().get_texts()]
    assert labels == ["training", "validation", "lowest, epoch 4"]
    styles = {line.get_linestyle() for line in loss_ax.get_lines()[:2]}
    assert styles == {"-", "--"}, "curves are told apart by line as well as by colour"


def test_history_without_validation_shows_the_training_loss_alone():
    loss_ax, score_ax = history(val=False).plot()
    assert len(loss_ax.get_lines()) == 1 and not score_ax.get_lines()


@pytest.mark.parametrize("outputs", [1, 2])
def test_decision_boundary_draws_the_models_probability_and_leaves_its_mode(outputs):
    X, y = moons(40)
    model = mlp(2, 8, outputs, dropout=0.5)
    ax = plotting.plot_decision_boundary(model, X, y, resolution=20)
    assert model.training
    ground = ax.collections[0].get_array()
    assert ground.size == 400 and ground.min() >= 0 and ground.max() <= 1
    model.eval()
    corner = (X.min(dim=0).values - 0.3)[None]
    logits = model(corner)
    expected = logits.softmax(1)[0, 1] if outputs == 2 else logits.sigmoid()[0, 0]
    assert np.ravel(ground)[0] == pytest.approx(expected.item(), abs=1e-5)


def test_decision_boundary_refuses_a_model_of_three_classes():
    with pytest.raises(ValueError, match=r"two classes.*\[100, 3\]"):
        plotting.plot_decision_boundary(mlp(2, 3), *moons(40), resolution=10)


def test_decision_boundary_has_the_right_side_up():
    """A model that only looks at the second feature must change from bottom to top."""
    X, y = moons(40)
    model = mlp(2, 2)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0, 0.0], [0.0, 9.0]]))
        model[0].bias.zero_()
    ground = plotting.plot_decision_boundary(model, X, y, resolution=10).collections[0].get_array()
    ground = np.reshape(ground, (10, 10))
    assert (ground[0] < 0.5).all() and (ground[-1] > 0.5).all()


def test_spread_shows_every_value_and_the_median():
    ax = plotting.plot_spread({"a": [1.0, 2.0, 9.0], "b": [4.0]}, xlabel="loss")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert sorted(ax.get_lines()[0].get_xdata()) == [1.0, 2.0, 9.0]
    (median,) = ax.collections[0].get_segments()
    assert median[0][0] == 2.0


def test_points_of_two_classes_and_curves_differ_by_more_than_colour():
    points = plotting.plot_points(*moons(20, seed=0)).collections
    assert len(points) == 2
    assert len(points[0].get_paths()[0].vertices) != len(points[1].get_paths()[0].vertices)
    ax = plotting.plot_curves({"a": [1, 2], "b": [2, 1]}, [0, 1], "epoch", "loss")
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_loop_cycle_shows_the_five_lines_clockwise_and_only_zero_grad_dashed():
    ax = plotting.plot_loop_cycle()
    texts = {text.get_text(): text.get_position() for text in ax.texts}
    lines = [
        "logits = model(xb)", "loss = loss_fn(logits, yb)", "loss.backward()", "optimizer.step()",
        "optimizer.zero_grad()",
    ]  # fmt: skip
    angles = [np.arctan2(*texts[line]) % (2 * np.pi) for line in lines]  # from the top
    assert angles == sorted(angles)
    styles = [circle.get_linestyle() for circle in ax.patches if isinstance(circle, plt.Circle)]
    assert styles == ["-", "-", "-", "-", "--"]


def test_loop_cycle_texts_do_not_overlap_and_are_not_cut():
    figure = plotting.plot_loop_cycle().figure
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    for i, box in enumerate(boxes):
        assert figure.bbox.fully_containsx(box.x0) and figure.bbox.fully_containsx(box.x1)
        assert figure.bbox.fully_containsy(box.y0) and figure.bbox.fully_containsy(box.y1)
        assert box.count_overlaps(boxes[:i]) == 0


def test_show_makes_a_picture_with_alternative_text_and_closes_the_figure(monkeypatch):
    described = {"99.curve": 'A "quoted" <curve>.'}
    monkeypatch.setattr(plotting, "_described", lambda: described)
    for make in (
        lambda: plt.subplots()[1],
        lambda: plt.subplots(1, 2)[1],
        lambda: plt.subplots()[0],
    ):
        picture = plotting.show(make(), "99.curve")
        assert not plt.get_fignums()
        assert picture._repr_png_().startswith(b"\x89PNG")
        assert 'alt="A &quot;quoted&quot; &lt;curve&gt;."' in picture._repr_html_()
        assert repr(picture) == '[Figure: A "quoted" <curve>.]'


def test_a_figure_without_a_description_is_refused():
    with pytest.raises(ValueError, match=r"line sunset = .* into course_utils/figures/05_….toml"):
        plotting.show(plt.subplots()[1], "05.sunset")


H, COMPLEX, UNEVEN, SHORT = History(), History(), History(), History()
for made in (COMPLEX, UNEVEN, SHORT):
    made.append(train_loss=1.0, val_loss=1.0, val_acc=1.0, lr=0.1, seconds=1.0)
COMPLEX["val_loss"] = [1j]
UNEVEN["train_loss"] += [2.0]
del SHORT["val_acc"]


class Complex(torch.nn.Module):
    def __init__(self, factor=1j):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


WRONG = {
    "curves that are no dict": (plotting.plot_curves, ([[1, 2]], [0, 1], "x", "y"), "dict of lists"),
    "no curves": (plotting.plot_curves, ({}, [0, 1], "x", "y"), "dict of lists"),
    "a curve of one number": (plotting.plot_curves, ({"a": 1}, [0], "x", "y"), "list of real numbers"),
    "a curve of two dimensions": (
        plotting.plot_curves, ({"a": torch.ones(2, 2)}, [0, 1], "x", "y"), r"curves\['a'\] must be",
    ),
    "a curve of another length": (
        plotting.plot_curves, ({"a": [1, 2, 3]}, [0, 1], "x", "y"), "x has 2 numbers, but",
    ),
    "a complex curve": (
        plotting.plot_curves, ({"a": np.array([1j, 2j])}, [0, 1], "x", "y"), "list of real numbers",
    ),
    "a complex spread": (plotting.plot_spread, ({"a": torch.ones(3) * 1j}, "x"), "real numbers"),
    "complex points": (plotting.plot_points, (moons(9)[0] * 1j, moons(9)[1]), "real numbers"),
    "a complex history": (plotting.plot_history, (COMPLEX,), r"history\['val_loss'\] must be"),
    "a curve on the meta device": (
        plotting.plot_curves, ({"a": torch.ones(2, device="meta")}, [0, 1], "x", "y"), "real numbers",
    ),
    "a history of uneven columns": (plotting.plot_history, (UNEVEN,), "2 training losses, 1 val"),
    "a history without a column": (plotting.plot_history, (SHORT,), r"history\['val_acc'\] must be"),
    "sparse points": (plotting.plot_points, (moons(9)[0].to_sparse(), moons(9)[1]), "tensors or arr"),
    "a complex model": (
        plotting.plot_decision_boundary, (Complex(), *moons(9)), r"gives \[22500, 2\] of torch.complex",
    ),
    "a model of NaN": (
        plotting.plot_decision_boundary, (Complex(float("nan")), *moons(9)), "some are NaN",
    ),
    "curves over nothing": (plotting.plot_curves, ({"a": [1]}, None, "x", "y"), "x must be a list"),
    "curves on a figure": (
        plotting.plot_curves, ({"a": [1]}, [0], "x", "y", plt.Figure()), "ax is what plt.subplots",
    ),
    "an empty spread": (plotting.plot_spread, ({"a": []}, "x"), "not empty"),
    "a spread of words": (plotting.plot_spread, ({"a": ["b"]}, "x"), "list of real numbers"),
    "a spread with a gap": (plotting.plot_spread, ({"a": [1, None]}, "x"), "list of real numbers"),
    "a curve with a gap": (
        plotting.plot_curves, ({"a": [1, None]}, [0, 1], "x", "y"), "list of real numbers",
    ),
    "a spread on a word": (plotting.plot_spread, ({"a": [1.0]}, "x", "ax"), "ax is what plt.subplots"),
    "passes of a list": (plotting.plot_passes, ([1], []), "takes a dict, name -> tensor"),
    "passes without links": (plotting.plot_passes, ({"a": torch.ones(())}, None), "a list of links"),
    "passes of nothing": (plotting.plot_passes, ({}, []), "at least one tensor"),
    "a history class": (plotting.plot_history, (History,), "what train returned"),
    "a history on numbers": (plotting.plot_history, (H, (1, 2)), "pair of Axes"),
    "a history on a figure with its pair": (
        plotting.plot_history, (H, plt.subplots(1, 2)), "pair of Axes",
    ),
    "a history on one": (plotting.plot_history, (H, plt.Figure()), "pair of Axes"),
    "a cycle on a number": (plotting.plot_loop_cycle, (3,), "ax is what plt.subplots"),
    "points on a number": (plotting.plot_points, (*moons(9), 3), "ax is what plt.subplots"),
    "points that are words": (plotting.plot_points, ("a", "b"), "tensors or arrays"),
    "points without classes": (plotting.plot_points, (moons(9)[0], None), "tensors or arrays"),
    "points at infinity": (plotting.plot_points, (moons(9)[0] / 0, moons(9)[1]), "NaN or infinity"),
    "no model": (plotting.plot_decision_boundary, (len, *moons(9)), "draws a model"),
    "a model of three features": (
        plotting.plot_decision_boundary, (mlp(3, 2), *moons(9)), r"points \[22500, 2\], and it fails",
    ),
    **{
        f"resolution {resolution!r}": (
            plotting.plot_decision_boundary, (mlp(2, 2), *moons(9), None, resolution), "from 2 to 2000",
        )
        for resolution in (0, 1, -1, 10.0, True, "a", 10**6)
    },
    "no figure": (plotting.show, ([], "05.overfit"), "takes a figure"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_can_not_be_drawn_is_said_in_one_sentence(case):
    plot, arguments, says = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=says) as caught:
        plot(*arguments)
    assert "\n" not in str(caught.value)


def test_curves_may_be_tensors_with_a_graph_and_lists_of_them():
    tensor = torch.ones(2, requires_grad=True)
    ax = plotting.plot_curves({"a": tensor, "b": list(tensor * 2)}, tensor * 3, "x", "y")
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, 1], [2, 2]]


def test_the_two_passes_show_values_gradients_and_rates():
    w = torch.tensor(2.0, requires_grad=True)
    error = w * 3 - 5
    loss = error**2
    for tensor in (error, loss):
        tensor.retain_grad()
    loss.backward()
    ax = plotting.plot_passes(
        {"w": w, "error": error, "loss": loss}, ["times 3 minus 5", "squared"]
    )
    texts = {text.get_text() for text in ax.texts}
    assert {"value 2", "value 1", "gradient 6", "gradient 2", "gradient 1"} <= texts
    assert {"times 3", "times 2"} <= texts
    with pytest.raises(ValueError, match="3 tensors need 2 links"):
        plotting.plot_passes({"w": w, "error": error, "loss": loss}, ["squared"])
    with pytest.raises(ValueError, match=r"call x.retain_grad\(\) before backward"):
        plotting.plot_passes({"x": w * 2, "loss": loss}, ["squared"])


def test_points_of_other_classes_are_refused_and_never_left_out():
    X, y = torch.randn(20, 2), torch.arange(20) % 2
    for wrong in (2 * y - 1, y + 1, torch.arange(20) % 3):
        with pytest.raises(ValueError, match="draws the classes 0 and 1"):
            plotting.plot_points(X, wrong)
    with pytest.raises(ValueError, match=r"points X \[N, 2\]"):
        plotting.plot_points(X, y[:3])
    drawn = plotting.plot_points(X.numpy(), y.numpy()).collections
    assert sum(len(points.get_offsets()) for points in drawn) == 20


def test_every_curve_is_drawn_and_no_two_look_the_same():
    lines = plotting.plot_curves({str(i): [1, 2] for i in range(10)}, [1, 2], "x", "y").lines
    looks = {(line.get_linestyle(), line.get_marker(), line.get_color()) for line in lines}
    assert len(lines) == len(looks) == 10


def test_frames_and_half_precision_are_drawn_as_other_numbers_are():
    X, y = moons(9)
    ax = plotting.plot_points(pd.DataFrame(X.numpy()), pd.Series(y.numpy()))
    drawn = np.concatenate([points.get_offsets() for points in ax.collections])
    np.testing.assert_allclose(drawn, torch.cat([X[y == 0], X[y == 1]]))
    values = torch.tensor([1.0, 0.5], dtype=torch.bfloat16, requires_grad=True)
    (line,) = plotting.plot_curves({"a": values}, [0, 1], "x", "y").lines
    assert line.get_ydata().tolist() == [1.0, 0.5]
