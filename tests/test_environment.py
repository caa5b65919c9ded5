"""pyproject.toml, constraints.txt, environment.yml and the workflows tell one story."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import flatmtl_lite

ROOT = Path(__file__).parents[1]
EXTRAS = {"lab", "runs", "cluster", "docs", "dev"}


def pins(lines):
    """{name: version} of lines `name==version`; comments are left out, and a looser pin is an error."""
    versions = {}
    for line in (line.split("#")[0].strip() for line in lines):
        if line:
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            if specifier.operator != "==" or specifier.version.endswith(".*"):
                raise ValueError(f"{line!r} is not an exact pin")
            versions[canonicalize_name(requirement.name)] = specifier.version
    return versions


def disagreements(requirements, constrained):
    """What is wrong with the pins of the constraints for these requirements, as sentences."""
    problems = []
    for requirement in requirements:
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
def constrained():
    return pins((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def test_every_requirement_is_pinned(project, constrained):
    extras = project["optional-dependencies"]
    assert set(extras) == EXTRAS
    lines = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
    requirements = [Requirement(line) for line in lines if not line.startswith("flatmtl-lite[")]
    assert disagreements(requirements, constrained) == []


@pytest.mark.parametrize(
    ("constrained", "problems"),
    [
        ({"plotly": "7.1.0"}, []),
        ({"plotly": "6"}, ["pyproject.toml wants plotly<8,>=7, constraints.txt has 6"]),
        ({}, ["constraints.txt lacks plotly"]),
    ],
)
def test_a_disagreement_is_found(constrained, problems):
    assert disagreements([Requirement("plotly>=7,<8")], constrained) == problems


@pytest.mark.parametrize("line", ["torch>=2.13", "torch==2.*", "torch", "torch>=2,<3"])
def test_a_loose_pin_is_refused(line):
    with pytest.raises(ValueError, match=r"not an exact pin|unpack"):
        pins([line])


def test_dev_is_everything(project):
    (own,) = (Requirement(line) for line in project["optional-dependencies"]["dev"] if "flatmtl-lite" in line)
    assert own.extras == EXTRAS - {"dev"}


def test_conda_and_binder_get_the_pinned_course(environment, project):
    assert environment["name"] == project["name"] == "flatmtl-lite"
    assert environment["channels"] == ["conda-forge"]
    *conda, section = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert section["pip"][-2:] == ["-c constraints.txt", "-e .[lab,runs]"]
    assert not any("==" in line for line in section["pip"])


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


def test_the_version_is_written_once(project):
    assert project["dynamic"] == ["version"]
    assert Version(flatmtl_lite.__version__).release
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert "version" not in citation  # it would be a second place to forget


def test_the_workflow_runs_the_oldest_and_the_newest_that_we_declare(project):
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]
    named = {line.split(" :: ")[-1] for line in project["classifiers"] if "Python :: 3." in line}
    oldest, newest = min(named, key=Version), max(named, key=Version)
    assert SpecifierSet(project["requires-python"]) == SpecifierSet(f">={oldest}")
    (torch,) = map(Requirement, project["dependencies"])
    for job, version in (("newest", newest), ("oldest", oldest)):
        assert f"python-version: '{version}'" in yaml.dump(jobs[job])
    (floor,) = (specifier.version for specifier in torch.specifier)
    assert f"torch=={floor}.*" in yaml.dump(jobs["oldest"])
    assert f"Python {oldest} or newer" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_hooks_have_the_pinned_versions(constrained):
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    for name, version in pins(line for hook in hooks for line in hook["additional_dependencies"]).items():
        assert version == constrained[name]
