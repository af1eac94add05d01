"""Networks of the user's own: how they are named, built, tried out and refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from own_networks import HEAD, NETWORKS, source
from under10k.errors import UsageError
from under10k.models.registry import count_parameters, create_model


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(place: Path, text: str) -> None:
    (place / "my_net.py").write_text(HEAD + text)


def refusal(name: str = "my_net.py:Net", **options: object) -> str:
    with pytest.raises(UsageError) as caught:
        create_model(name, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_a_file_is_built_with_its_parameters_and_returns_logits(name: str, place: Path) -> None:
    (place / "my_net.py").write_text(source(name))
    model = create_model("my_net.py:Net")
    assert count_parameters(model) == NETWORKS[name][1]
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    assert {one.name for one in place.iterdir()} == {"my_net.py"}, "no bytecode is left there"


def test_arguments_stand_in_the_name_or_are_given_as_options(place: Path) -> None:
    (place / "my_net.py").write_text(source("separable"))
    built = create_model("my_net.py:Net(width=4, dropout=0.25)")
    assert count_parameters(built) == 40 + 40 + 20 + 50
    assert [part.p for part in built.modules() if isinstance(part, nn.Dropout)] == [0.25]
    assert count_parameters(create_model("my_net.py:Net(4)")) == count_parameters(
        create_model("my_net.py:Net", width=4)
    )
    assert "did you mean width?" in refusal(widht=3)


@pytest.mark.parametrize(
    "call", ["(open('x', 'w'))", "(width=f())", "(*a)", "(**{})", "(1)(2)", "(", "(__import__('os'))"]
)
def test_arguments_that_are_no_literals_are_refused_and_not_run(call: str, place: Path) -> None:
    write(place, "raise SystemExit('it ran')")
    assert "not arguments" in (found := refusal(f"my_net.py:Net{call}")) or "not a network" in found
    assert not (place / "x").exists()


def test_a_network_in_a_module_is_imported(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "ownpackage").mkdir()
    (place / "ownpackage" / "nets.py").write_text(source("linear"))
    monkeypatch.syspath_prepend(place)
    assert count_parameters(create_model("ownpackage.nets:Net")) == NETWORKS["linear"][1]
    for name in ("ownpackage", "ownpackage.nets"):
        del sys.modules[name]
    assert "no such module: ownpackage.other" in refusal("ownpackage.other:Net")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("class Net(nn.Module)\n    pass", "not Python: my_net.py, line 6"),
        ("import nothing_of_this_name", "cannot import: my_net.py (line 6: ModuleNotFoundError"),
        ("import sys\nsys.exit(1)", "cannot import: my_net.py (line 7: SystemExit: 1)"),
        ("class Nett(nn.Module): pass", "there are: Nett"),
        ("class Net: pass", "is no torch.nn.Module"),
        ("def Net(): return 3", "builds a int. return a torch.nn.Module"),
        ("class Net(nn.Module):\n    def __init__(self, width): super().__init__()", "cannot build the network"),
        ("def Net(): return nn.Sequential(nn.Flatten(), nn.Linear(9, 10))", "the network fails on two images"),
        ("def Net(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 9))", "into (2, 9). return (2, 10)"),
        ("def Net(): return nn.Conv2d(1, 10, 3)", "into (2, 10, 26, 26). return (2, 10)"),
        ("def Net(): return nn.Flatten()", "0 parameters"),
        ("def Net(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 1300), nn.Linear(1300, 10))", "1,033,510 para"),
        ("def Net(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))", "lazy layers"),
        (
            "class Net(nn.Linear):\n    def __init__(self): super().__init__(784, 10)\n"
            "    def forward(self, x): return super().forward(x.flatten(1)) / 0 * 0",
            "not finite",
        ),
        (
            "class Net(nn.Linear):\n    def __init__(self): super().__init__(784, 10)\n"
            "    def forward(self, x): return super().forward(F.dropout(x.flatten(1)))",
            "training=self.training",
        ),
        (
            "class Net(nn.Linear):\n    def __init__(self): super().__init__(784, 10)\n"
            "    def forward(self, x): return x + torch.rand_like(x)",
            "random numbers without a seed",
        ),
        ("Net = nn.Identity\nfor _ in range(9):\n    torch.ones(1, requires_grad=True).sum().backward()", "line 7"),
        ("def step(loss):\n    loss.backward()\ndef go():\n    step(0)\nNet = nn.Identity\ngo()", "trains when it is"),
    ],
)
def test_what_is_no_network_is_refused_in_one_line(text: str, told: str, place: Path) -> None:
    write(place, text)
    assert told in refusal()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gone.py:Net", "no such network: gone.py"),
        ("my_net.py:", "write FILE.py:NAME"),
        (":Net", "write FILE.py:NAME"),
        ("my_net.py:a.b", "write FILE.py:NAME"),
        ("folder.py:Net", "no such network: folder.py"),
    ],
)
def test_a_name_of_nothing_is_refused_in_one_line(name: str, told: str, place: Path) -> None:
    (place / "folder.py").mkdir()
    assert told in refusal(name)


def test_print_in_a_network_warns_once_and_shows_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "my_net.py").write_text(source("configured"))
    model = create_model("my_net.py:Net")
    for _ in range(5):
        model(torch.zeros(2, 1, 28, 28))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("warning: print in my_net.py") == printed.err.count("\n") == 1


def test_building_one_leaves_torchs_global_generator_alone_but_for_its_weights(place: Path) -> None:
    write(place, "torch.manual_seed(99)\ndef Net(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))")
    torch.manual_seed(3)
    nn.Linear(784, 10)
    expected = torch.get_rng_state()
    torch.manual_seed(3)
    create_model("my_net.py:Net")
    assert torch.equal(torch.get_rng_state(), expected)
