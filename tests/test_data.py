import shutil

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from course_utils import (
    circles,
    data,
    load_ipo,
    load_ipo_audit,
    moons,
    spiral,
    tensor_loader,
    train,
    train_step,
    xor,
)
from course_utils.loaders import in_whole_batches

toys = pytest.mark.parametrize("toy", [moons, circles, xor, spiral])


@toys
@pytest.mark.parametrize("n", [2, 101])
def test_toy_data_has_the_documented_shapes_and_dtypes(toy, n):
    X, y = toy(n)
    assert X.shape == (n, 2) and X.dtype == torch.float32
    assert y.shape == (n,) and y.dtype == torch.int64
    assert set(y.tolist()) <= {0, 1}


@toys
def test_a_seed_decides_the_data_and_the_global_generator_is_untouched(toy):
    state = torch.get_rng_state()
    assert torch.equal(toy(50, seed=1)[0], toy(50, seed=1)[0])
    assert not torch.equal(toy(50, seed=1)[0], toy(50, seed=2)[0])
    assert torch.equal(state, torch.get_rng_state())


@toys
def test_classes_are_balanced_and_in_random_order(toy):
    _, y = toy(1000)
    assert 400 < y.sum() < 600
    assert 20 < y[:100].sum() < 80


def test_half_of_an_odd_number_of_points_rounded_down_is_class_1():
    for toy in (moons, circles, spiral):
        assert toy(101)[1].sum() == 50


def test_without_noise_points_lie_on_their_curves():
    X, y = circles(200, noise=0)
    assert torch.allclose(X.norm(dim=1), torch.where(y == 0, 1.0, 0.5))
    X, y = moons(200, noise=0)
    centre = torch.where(y[:, None] == 0, torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.5]))
    assert torch.allclose((X - centre).norm(dim=1), torch.ones(200))
    X, y = xor(200, noise=0)
    assert torch.equal(y == 1, X.prod(dim=1) < 0)


@pytest.mark.parametrize(
    ("n", "noise", "word"),
    [(1, 0.1, "at least 2"), (10, -1, "number from 0"), (10, float("nan"), "number from 0")],
)
def test_impossible_toy_data_is_refused(n, noise, word):
    with pytest.raises(ValueError, match=word):
        moons(n, noise=noise)


def test_recorded_ipo_table_is_the_one_the_tutorials_use():
    table = load_ipo()
    assert table.shape == (319, 10)
    assert table["listing_gain"].sum() == 174
    assert table["listing_date"].is_monotonic_increasing
    assert (table["listing_gain"] == (table["listing_gain_pct"] > 0)).all()


def test_corrected_labels_flip_thirty_five_rows_with_splits_and_three_others():
    recorded, corrected = load_ipo(), load_ipo(labels="corrected")
    changed = recorded["listing_gain"] != corrected["listing_gain"]
    assert changed.sum() == 38
    audit = load_ipo_audit()
    with_split = recorded["name"].isin(audit.loc[audit["adjustment_factor"] > 1, "name"])
    assert (changed & with_split).sum() == 35
    irctc = corrected.loc[corrected["name"] == "IRCTC", "listing_gain_pct"].item()
    assert irctc == pytest.approx(127.7, abs=0.1)
    features = ["issue_size_cr", "subscription_total", "issue_price"]
    assert recorded[features].equals(corrected[features])


def test_unknown_labels_are_refused():
    with pytest.raises(ValueError, match='"recorded" or "corrected"; got \'true\''):
        load_ipo(labels="true")


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    shutil.copytree(data.DATA_DIR, tmp_path / "data")
    monkeypatch.setattr(data, "DATA_DIR", tmp_path / "data")
    return tmp_path / "data"


def test_a_missing_data_file_says_how_to_get_it_back(own_data):
    (own_data / "indian_ipo.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"git checkout data/indian_ipo\.csv"):
        load_ipo()


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b.replace(b"165", b"166", 1)])
@pytest.mark.parametrize("name", ["indian_ipo.csv", "ipo_label_audit.csv"])
def test_a_truncated_or_altered_data_file_is_noticed(own_data, name, damage):
    path = own_data / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="checksum"):
        load_ipo(labels="corrected")


@pytest.mark.parametrize("drop_last", [False, True])
def test_tensor_loader_gives_the_batches_and_draws_of_an_ordinary_dataloader(drop_last):
    X, y = moons(100)
    options = {"batch_size": 32, "shuffle": True, "drop_last": drop_last}
    batches = {}
    for kind, make in (
        ("plain", lambda *t, **o: DataLoader(TensorDataset(*t), **o)),
        ("fast", tensor_loader),
    ):
        torch.manual_seed(0)
        loader = make(X, y, **options)
        batches[kind] = [*loader, *loader], torch.rand(1)
    for (xa, ya), (xb, yb) in zip(batches["plain"][0], batches["fast"][0], strict=True):
        assert torch.equal(xa, xb) and torch.equal(ya, yb)
    assert torch.equal(batches["plain"][1], batches["fast"][1])


def test_tensor_loader_can_use_worker_processes_and_a_generator():
    X, y = moons(64)
    plain = tensor_loader(
        X, y, batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(1)
    )
    with_worker = tensor_loader(
        X, y, batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(1), num_workers=1
    )
    for (xa, _), (xb, _) in zip(plain, with_worker, strict=True):
        assert torch.equal(xa, xb)


def test_tensor_loader_refuses_what_is_not_tensors_of_equal_length():
    X, y = moons(10)
    with pytest.raises(TypeError, match="ndarray"):
        tensor_loader(X.numpy(), y)
    with pytest.raises(ValueError, match=r"\[10, 9\]"):
        tensor_loader(X, y[:9])
    with pytest.raises(ValueError, match="at least one row"):
        tensor_loader(X[:0], y[:0])
    with pytest.raises(TypeError, match=r"plain tensors; got one that is sparse.*to_dense"):
        tensor_loader(X.to_sparse(), y)


@pytest.mark.parametrize("batch_size", [0, -3, 32.0, True, "32", None])
def test_tensor_loader_needs_a_batch_size_and_makes_its_batches_itself(batch_size):
    X, y = moons(10)
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1; got"):
        tensor_loader(X, y, batch_size=batch_size)
    for option in ("batch_sampler", "collate_fn"):
        with pytest.raises(TypeError, match=rf"DataLoader\(TensorDataset\(X, y\), {option}=…\)"):
            tensor_loader(X, y, **{option: list})
    assert len(tensor_loader(X, y, batch_size=np.int64(4))) == 3
    with pytest.raises(ValueError, match="at least one tensor"):
        tensor_loader()


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"shuffle": "no"}, "shuffle must be True or False; got 'no'"),
        ({"num_workers": "2"}, "num_workers must be a whole number; got '2'"),
        ({"generator": 0}, r"torch.Generator\(\).manual_seed\(0\); got 0"),
    ],
)
def test_tensor_loader_looks_at_options_that_dataloader_takes_without_a_word(option, says):
    with pytest.raises(TypeError, match=says):
        tensor_loader(*moons(10), **option)


ROWS = TensorDataset(torch.arange(40.0).reshape(20, 2), torch.arange(20))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": True},
        {"shuffle": True, "drop_last": True, "batch_size": 7},
        {"seeded": True},
    ],
)
def test_whole_batches_are_those_of_the_loader_with_the_same_draws(options):
    passes = []
    for faster in (False, True):
        torch.manual_seed(0)
        own = {"generator": torch.Generator().manual_seed(3), "shuffle": True}
        loader = DataLoader(ROWS, **{"batch_size": 6, **(own if "seeded" in options else options)})
        assert in_whole_batches(loader).dataset is not ROWS
        used = in_whole_batches(loader) if faster else loader
        batches = [tensor for _ in range(2) for batch in used for tensor in batch]
        passes.append([*batches, torch.get_rng_state()])
        if loader.generator is not None:
            passes[-1].append(loader.generator.get_state())
    assert len(passes[0]) == len(passes[1])
    assert all(torch.equal(*pair) for pair in zip(*passes, strict=True))


def batches_of_both(dataset, numbers):
    """All batches as the loader gives them, and as they are taken in whole."""
    loader = DataLoader(dataset, batch_sampler=numbers)
    return [list(used) for used in (loader, in_whole_batches(loader))]


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize(
    "numbers",
    [
        [3, 3, 1],
        [-1, -20],
        (2, 1),
        range(4),
        {5: None, 2: None},
        torch.tensor([2, 1]),
        np.array([2, 1, 0], dtype=np.uint8),
        [np.uint8(2), np.uint8(1)],
        [torch.tensor([2]), torch.tensor([1])],
        [slice(0, 2), slice(2, 4)],
        [(1,), (2,)],
        [True, True],
        [[1, 2], [3, 4]],
    ],
    ids=repr,
)
def test_whatever_numbers_a_sampler_gives_whole_batches_are_what_the_loader_stacks(numbers):
    for expected, got in zip(*batches_of_both(ROWS, [numbers, [0]]), strict=True):
        assert all(map(torch.equal, expected, got))


@pytest.mark.parametrize(
    "X",
    [
        torch.arange(960.0).reshape(20, 4, 4, 3).permute(0, 3, 1, 2),
        torch.arange(1920.0).reshape(20, 2, 4, 4, 3).permute(0, 1, 4, 2, 3),
        torch.arange(80.0).reshape(40, 2)[::2],
        torch.arange(20.0)[:, None].expand(20, 3),
        torch.randn(20, 2, dtype=torch.complex64).conj(),
        torch.arange(20) > 3,
    ],
    ids=["images", "clips", "every second row", "expanded", "conjugate", "yes or no"],
)
def test_however_the_rows_lie_whole_batches_lie_as_the_loader_stacks_them(X):
    for expected, got in zip(*batches_of_both(TensorDataset(X), [[3, 1, 3], [0]]), strict=True):
        assert torch.equal(expected[0], got[0]) and expected[0].stride() == got[0].stride()


def test_gradients_reach_rows_that_want_them_as_through_the_loader():
    gradients = []
    for faster in (False, True):
        X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
        for (xb,) in batches_of_both(TensorDataset(X), [[3, 1, 3, 3, 3] * 4, [3, 0]])[faster]:
            (xb.cumsum(dim=0) / 3).exp().sum().backward()
        gradients.append(X.grad)
    assert torch.equal(*gradients)


def replace_rows(loader):
    loader.dataset.tensors = (loader.dataset.tensors[0] / 2, loader.dataset.tensors[1])


def collate_halves(loader):
    loader.collate_fn = lambda rows: [torch.stack(part) // 2 for part in zip(*rows, strict=True)]


@pytest.mark.parametrize("change", [replace_rows, collate_halves])
def test_what_a_callback_changes_about_the_loader_counts_from_the_next_epoch(change):
    runs = []
    for by_hand in (True, False):
        loader = DataLoader(TensorDataset(*ROWS.tensors), batch_size=6)
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 20)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        loss_fn = torch.nn.CrossEntropyLoss()
        if by_hand:
            for _ in range(2):
                for xb, yb in loader:
                    train_step(model, xb, yb, loss_fn, optimizer)
                change(loader)
        else:
            callbacks = [lambda *_, loader=loader: change(loader)]
            train(model, loader, None, loss_fn, optimizer, 2, callbacks=callbacks, progress=False)
        runs.append(model.weight.detach())
    assert torch.equal(*runs)


def test_images_whose_channels_were_moved_train_as_the_loader_stacks_them():
    """view() works on what the loader stacks, though not on rows taken as they lie."""

    class Viewing(torch.nn.Linear):
        def forward(self, xb):
            return super().forward(xb.view(len(xb), -1))

    X = torch.arange(960.0).reshape(20, 4, 4, 3).permute(0, 3, 1, 2) / 960
    loader = DataLoader(TensorDataset(X, ROWS.tensors[1] % 2), batch_size=6)
    model = Viewing(48, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = train(
        model, loader, loader, torch.nn.CrossEntropyLoss(), optimizer, 1, progress=False
    )
    assert history.epochs == 1


class _OwnRows(TensorDataset):
    pass


OWN_BATCHES = TensorDataset(*ROWS.tensors)
OWN_BATCHES.__getitems__ = lambda numbers: [ROWS[number // 2] for number in numbers]


def _own_collate(rows):
    return torch.utils.data.default_collate(rows)


@pytest.mark.parametrize(
    ("dataset", "options"),
    [
        (_OwnRows(*ROWS.tensors), {}),
        (OWN_BATCHES, {}),
        (ROWS, {"collate_fn": _own_collate}),
        (ROWS, {"batch_size": None}),
        (ROWS, {"num_workers": 1}),
        ([(x, y) for x, y in ROWS], {}),
    ],
)
def test_a_loader_with_rules_of_its_own_fetches_as_it_always_did(dataset, options):
    loader = DataLoader(dataset, **options)
    assert in_whole_batches(loader) is loader
