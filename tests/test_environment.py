"""environment.yml, constraints.txt and pyproject.toml tell one story."""

import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest there

ROOT = Path(__file__).parents[1]
EXTRAS = ("lab", "runs", "cluster", "dev")


def pins(lines):
    """{name: version} of lines `name==version`, comments and `-e .` left out; a looser pin is an error."""
    found = {}
    for line in (line.split("#")[0].strip() for line in lines):
        if line and not line.startswith("-e"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            if specifier.operator != "==" or specifier.version.endswith(".*"):
                raise ValueError(f"{line!r} is not an exact pin")
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


def disagreements(wanted, constrained, conda):
    """What differs between pyproject's requirements, the constraints' pins and the pip section's pins."""
    names = {canonicalize_name(requirement.name) for requirement in wanted}
    problems = [f"environment.yml lacks {name}" for name in sorted(names - conda.keys())]
    problems += [f"pyproject.toml lacks {name}" for name in sorted(conda.keys() - names)]
    problems += [
        f"{name}: {version} in environment.yml, {constrained.get(name)} in constraints.txt"
        for name, version in conda.items()
        if constrained.get(name) != version
    ]
    for requirement in wanted:
        version = constrained.get(canonicalize_name(requirement.name))
        if version is None:
            problems.append(f"constraints.txt lacks {requirement.name}")
        elif not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"pyproject.toml wants {requirement}, constraints.txt has {version}")
    return problems


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wanted(project):
    extras = project["optional-dependencies"]
    assert set(extras) == set(EXTRAS)
    return [Requirement(line) for line in sum((extras[extra] for extra in EXTRAS), project["dependencies"])]


@pytest.fixture(scope="module")
def constrained():
    return pins((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pip_section(environment):
    (section,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    return section


def test_the_three_files_agree(wanted, constrained, pip_section):
    assert disagreements(wanted, constrained, pins(pip_section)) == []


@pytest.mark.parametrize(
    ("constrained", "conda", "problems"),
    [
        ({"plotly": "7.1.0"}, {"plotly": "7.1.0"}, []),
        ({"plotly": "7.1.0"}, {}, ["environment.yml lacks plotly"]),
        ({"plotly": "7.1"}, {"plotly": "7.0"}, ["plotly: 7.0 in environment.yml, 7.1 in constraints.txt"]),
        ({"plotly": "6"}, {"plotly": "6"}, ["pyproject.toml wants plotly<8,>=7, constraints.txt has 6"]),
        ({"plotly": "7.1.0", "six": "1.0"}, {"plotly": "7.1.0", "six": "1.0"}, ["pyproject.toml lacks six"]),
        ({}, {}, ["environment.yml lacks plotly", "constraints.txt lacks plotly"]),
    ],
)
def test_a_disagreement_is_found(constrained, conda, problems):
    assert disagreements([Requirement("plotly>=7,<8")], constrained, conda) == problems


@pytest.mark.parametrize("line", ["torch>=2.13", "torch==2.*", "torch", "torch>=2,<3"])
def test_a_loose_pin_is_refused(line):
    with pytest.raises(ValueError, match=r"not an exact pin|unpack"):
        pins([line])


def test_the_conda_file_is_for_this_package(environment, pip_section, project):
    assert environment["name"] == project["name"] == "flatmtl-lite"
    assert environment["channels"] == ["conda-forge"]
    assert environment["dependencies"][:-1] == ["python=3.11", "pip"]
    assert pip_section[0] == "torch==2.13.0"
    assert pip_section[-1] == "-e ."


def test_core_is_torch_alone_as_a_range(project):
    (torch,) = (Requirement(line) for line in project["dependencies"])
    assert torch.name == "torch"
    assert not any(specifier.operator in ("==", "===", "<", "<=", "~=") for specifier in torch.specifier)


def test_versions_the_notebooks_count_on(project, constrained):
    lab = {line.name: line for line in map(Requirement, project["optional-dependencies"]["lab"])}
    assert constrained["torch"] == "2.13.0"
    assert constrained["plotly"].split(".")[0] == "7"
    assert "anywidget" in lab  # FigureWidget needs it, and plotly does not require it
    assert not lab["jupyterlab"].specifier.contains("4.5.9")
    assert "torchvision" not in constrained  # its builds belong to one torch build each


def test_constraints_are_sorted_and_free_of_tools(constrained):
    assert list(constrained) == sorted(constrained)
    assert not {"pip", "setuptools", "flatmtl-lite"} & constrained.keys()
    assert not any("+" in version for version in constrained.values())
