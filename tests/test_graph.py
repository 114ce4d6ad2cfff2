import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from torch import nn

from course_utils import draw_graph, mlp, plotting


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


@pytest.fixture
def w():
    return torch.tensor(2.0, requires_grad=True)


@pytest.fixture
def b():
    return torch.tensor(1.0, requires_grad=True)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def boxes(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]


def arrows(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


def test_parameters_are_named_with_their_shapes_and_operations_without_backward():
    model = mlp(784, 128, 10)
    logits = model(torch.rand(4, 784))
    loss = nn.CrossEntropyLoss()(logits, torch.tensor([1, 2, 3, 4]))
    ax = draw_graph(loss, model.named_parameters())
    leaves = ["0.weight\n[128, 784]", "0.bias\n[128]", "2.weight\n[10, 128]", "2.bias\n[10]"]
    operations = ["T", "Addmm", "Relu", "T", "Addmm", "LogSoftmax", "NllLoss"]
    assert sorted(texts(ax)) == sorted(leaves + operations)
    assert len(arrows(ax)) == 10


def test_single_numbers_show_their_value_and_results_their_name(w, b):
    y = w * 3 + b
    loss = (y - 5) ** 2
    ax = draw_graph(loss, {"w": w, "b": b, "y": y, "loss": loss})
    assert sorted(texts(ax)) == ["Add\n= y", "Mul", "Pow\n= loss", "Sub", "b\n= 1", "w\n= 2"]


def test_a_leaf_without_a_name_is_a_leaf(w):
    assert sorted(texts(draw_graph(3 * w))) == ["Mul", "leaf\n= 2"]


def test_data_that_needs_no_gradient_is_not_there(w):
    x = torch.tensor(3.0)
    assert sorted(texts(draw_graph(x * w, {"x": x, "w": w}))) == ["Mul", "w\n= 2"]


def test_a_tensor_used_twice_is_drawn_once_with_two_arrows(w):
    ax = draw_graph(w * w, {"w": w})
    assert sorted(texts(ax)) == ["Mul", "w\n= 2"]
    first, second = (arrow.get_path().vertices for arrow in arrows(ax))
    assert not (first == second).all()


def test_the_forward_pass_goes_from_left_to_right(w, b):
    ax = draw_graph((w * 3 + b - 5) ** 2)
    at = {text.get_text(): text.get_position()[0] for text in ax.texts}
    assert at["leaf\n= 2"] < at["Mul"] < at["Add"] < at["Sub"] < at["Pow"]


def residual(x):
    """A layer used twice, and connections that pass layers by."""
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    hidden = first(x).relu()
    hidden = hidden + second(hidden).relu()
    return (hidden + second(hidden).tanh()).mean()


@pytest.mark.parametrize("forward", [mlp(8, 6, 4, 2), residual])
def test_no_box_touches_another_box_a_foreign_arrow_or_the_edge(forward):
    ax = draw_graph(forward(torch.rand(3, 8)))
    extents = [box.get_window_extent() for box in boxes(ax)]
    for i, extent in enumerate(extents):
        assert not any(extent.overlaps(other) for other in extents[:i])
        inside = extent.padded(-1)  # arrows end at the edge of their box
        for way in arrows(ax) + ax.get_lines():
            for polygon in way.get_path().to_polygons(way.get_transform(), closed_only=False):
                points = Path(polygon).interpolated(20).vertices
                assert not any(inside.contains(*point) for point in points)
    for text, box in zip(ax.texts, boxes(ax), strict=True):
        assert box.get_window_extent().width > text.get_window_extent().width
    whole = ax.figure.bbox
    assert all(whole.x0 < e.x0 and e.x1 < whole.x1 for e in extents)
    assert all(whole.y0 < e.y0 and e.y1 < whole.y1 for e in extents)


def test_a_long_chain_is_no_problem(w):
    y = w
    for _ in range(300):
        y = y + y
    assert len(boxes(draw_graph(y))) == 301


@pytest.mark.filterwarnings("error")
def test_it_can_be_shown_in_the_courses_style(w):
    with plt.rc_context():
        plotting.use_course_style()
        picture = plotting.show(draw_graph(3 * w), "01.graph")
    assert picture._repr_png_().startswith(b"\x89PNG")


def test_a_tensor_without_a_graph_is_explained(w):
    with torch.no_grad():
        untracked = 3 * w
    for tensor in (untracked, (3 * w).detach(), torch.rand(3), w):
        with pytest.raises(ValueError, match=r"no graph \(its grad_fn is None\).*no_grad"):
            draw_graph(tensor)


def test_something_that_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match="needs a tensor; got a float"):
        draw_graph(0.5)
