"""The sample store: same bytes however it was drawn, damage named, splits without leaks."""

import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from _works import folder_sha256

from mfvae.data import EquilibriumSamples, NotEquilibratedWarning
from mfvae.data.store import CorruptStoreError
from mfvae.systems import CurieWeiss, Hopfield, Ising2D, MaierSaupe

TEMPERATURES = [0.8, 1.0, 1.3]
SEEDS = np.random.SeedSequence(5).spawn(10)


def create(path, n_samples=800, system=None, **arguments):
    arguments = {"seed": 5, "progress": False, "n_chains": 40} | arguments
    return EquilibriumSamples.create(
        path, system or CurieWeiss(16), TEMPERATURES, n_samples, **arguments
    )


def undraw(path, *chunks):
    for chunk in chunks:
        shutil.rmtree(path / "checksum" / "c" / str(chunk))
    shutil.rmtree(path / "diagnostics" / "c", ignore_errors=True)
    shutil.rmtree(path / "checksum" / "c" / "10", ignore_errors=True)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return create(tmp_path_factory.mktemp("store") / "reference")


class Autoregressive:
    """A stand-in with a memory: one Gaussian number, x_t = phi x_{t-1} + noise from x = 5."""

    def __init__(self, phi, well=0.0):
        self.phi, self.well = phi, well

    def configuration(self):
        return {"class": "Autoregressive", "phi": self.phi, "well": np.float64(self.well)}

    def sample_chains(
        self, temperatures, n_chains, n_records, *, seed, burn_in=None, thinning=None
    ):
        burn_in, thinning = 200 if burn_in is None else burn_in, thinning or 1
        rng = np.random.default_rng(seed)
        x = np.full((len(temperatures), n_chains), 5.0)
        well = self.well * rng.choice([-1, 1], n_chains)
        records = []
        for step in range(burn_in + n_records * thinning):
            x = self.phi * x + rng.standard_normal(x.shape) * math.sqrt(1 - self.phi**2)
            if step >= burn_in and (step - burn_in) % thinning == 0:
                records.append(x + well)
        return np.stack(records, axis=2).astype(np.float32)[..., None]

    def energy(self, x):
        return x[:, 0].astype(np.float64) ** 2

    def order_parameter(self, x):
        return x[:, 0]


# ---------------------------------------------------------------------------- contents


def test_contents(reference):
    assert reference.is_complete
    assert (reference.n_samples, reference.n_chunks) == (800, 10)
    x, temperature = reference.arrays()
    assert x.shape == (2400, 16)
    assert x.dtype == np.int8
    np.testing.assert_array_equal(temperature, np.repeat(TEMPERATURES, 800))
    # every chunk is what its seed draws
    system, size = CurieWeiss(16), 4 * 20
    for chunk in (0, 7):
        again = system.sample_chains(TEMPERATURES, 4, 20, seed=SEEDS[chunk])
        block = x.reshape(3, 800, 16)[:, chunk * size : (chunk + 1) * size]
        np.testing.assert_array_equal(block, again.reshape(3, size, 16))
    group = zarr.open_group(reference.path, mode="r")
    energy, order_parameter = group["energy"][...], group["order_parameter"][...]
    np.testing.assert_array_equal(energy.reshape(-1), system.energy(x))
    np.testing.assert_allclose(order_parameter.reshape(-1), system.order_parameter(x), rtol=1e-6)
    states = np.array([seed.generate_state(4) for seed in SEEDS])
    np.testing.assert_array_equal(group["seed"][...], states)


def test_it_is_a_plain_zarr_store(reference):
    group = zarr.open_group(reference.path, mode="r")
    assert group.metadata.zarr_format == 3
    assert sorted(name for name, _ in group.arrays()) == [
        "checksum", "diagnostics", "energy", "order_parameter", "seed", "x",
    ]  # fmt: skip
    assert group["x"].shape == (3, 40, 20, 16)
    assert group["x"].chunks == (3, 4, 20, 16)


@pytest.mark.parametrize("n_samples", [1, 7, 99, 1001, 3000])
@pytest.mark.parametrize("n_chains", [None, 3, 17])
def test_any_number_of_samples(tmp_path, n_samples, n_chains):
    samples = create(tmp_path / "s", n_samples, n_chains=n_chains)
    x, temperature = samples.arrays()
    assert len(x) == len(temperature) == 3 * n_samples == 3 * samples.n_samples
    assert "samples" in repr(samples)
    samples.verify()


@pytest.mark.parametrize("validation", [0.01, 0.1, 0.25, 0.5, 0.99])
def test_split_by_whole_chunks(reference, validation):
    train, held_out = reference.split(validation)
    assert train.n_samples + held_out.n_samples == 800
    assert held_out.n_samples == 80 * min(9, max(1, round(10 * validation)))
    x = reference.arrays()[0].reshape(3, 800, 16)
    cut = train.n_samples
    np.testing.assert_array_equal(train.arrays()[0].reshape(3, -1, 16), x[:, :cut])
    np.testing.assert_array_equal(held_out.arrays()[0].reshape(3, -1, 16), x[:, cut:])
    assert "part of a split" in repr(train)
    again, _ = train.split(0.5) if cut > 80 else (None, None)
    assert again is None or again.n_samples < cut


def test_split_needs_two_chunks_and_a_fraction(reference, tmp_path):
    single = create(tmp_path / "s", 100, n_chains=4)
    with pytest.raises(ValueError, match="single chunk"):
        single.split()
    for bad in (0, 1, -0.1, np.nan):
        with pytest.raises(ValueError, match="validation"):
            reference.split(bad)


@pytest.mark.parametrize(
    ("system", "temperatures", "shape", "dtype"),
    [
        (Ising2D(4), [2.0, 2.6], (16,), np.int8),
        (Hopfield.random(32, 3, seed=1), [0.7, 1.1], (32,), np.int8),
        (MaierSaupe(16), [0.2, 0.25], (16, 3), np.float32),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_system(tmp_path, system, temperatures, shape, dtype):
    path = tmp_path / "s"
    created = EquilibriumSamples.create(path, system, temperatures, 400, seed=1, progress=False)
    samples = EquilibriumSamples.open(path)
    samples.verify()
    x, _ = samples.arrays()
    assert x.shape == (800, *shape)
    assert x.dtype == dtype
    assert type(samples.system) is type(system)
    np.testing.assert_allclose(
        samples.system.energy(x),
        zarr.open_group(created.path, mode="r")["energy"][...].reshape(-1),
        rtol=1e-9,
        atol=1e-9,
    )


# ---------------------------------------------------------------------------- same bytes


@pytest.mark.parametrize("interrupted", [(0,), (3, 4, 9), tuple(range(10))])
def test_resumed_store_has_the_same_bytes(reference, tmp_path, interrupted):
    path = tmp_path / "s"
    shutil.copytree(reference.path, path)
    undraw(path, *interrupted)
    (path / "x" / "c" / "0" / str(interrupted[0])).is_dir()
    shutil.rmtree(path / "x" / "c" / "0" / str(interrupted[0]))
    samples = EquilibriumSamples.open(path)
    assert not samples.is_complete
    assert "call resume()" in repr(samples)
    for read in (samples.arrays, samples.verify):
        with pytest.raises(ValueError, match=r"resume\(\)"):
            read()
    with pytest.raises(ValueError, match="not complete"):
        _ = samples.diagnostics
    samples.resume(progress=False)
    assert folder_sha256(path) == folder_sha256(reference.path)


def test_seed_and_configuration_matter(reference, tmp_path):
    same = create(tmp_path / "same", seed=np.random.SeedSequence(5))
    other = create(tmp_path / "other", seed=6)
    assert folder_sha256(same.path) == folder_sha256(reference.path)
    assert folder_sha256(other.path) != folder_sha256(reference.path)
    child = np.random.SeedSequence(5).spawn(2)[1]
    spawned = create(tmp_path / "child", seed=child)
    state = child.spawn(3)[2].generate_state(4)
    np.testing.assert_array_equal(zarr.open_group(spawned.path, mode="r")["seed"][2], state)


@pytest.mark.parametrize(
    "system",
    [
        CurieWeiss(16),
        pytest.param(Ising2D(8), marks=pytest.mark.slow),
        pytest.param(Hopfield.random(64, 5, seed=1), marks=pytest.mark.slow),
        pytest.param(MaierSaupe(32), marks=pytest.mark.slow),
    ],
    ids=lambda system: type(system).__name__,
)
def test_one_and_two_workers(tmp_path, system):
    stores = [create(tmp_path / str(n), system=system, n_jobs=n) for n in (1, 2)]
    assert folder_sha256(stores[0].path) == folder_sha256(stores[1].path)


SCRIPT = """
import sys
from mfvae.data import EquilibriumSamples
from mfvae.systems import CurieWeiss
EquilibriumSamples.create(
    sys.argv[1], CurieWeiss(16), [0.8, 1.0, 1.3], 800, seed=5, n_chains=40, progress=False,
    exist_ok=True, n_jobs=int(sys.argv[2]),
)
"""


def kill_while_drawing(path, chunk, delay, n_jobs):
    """Draw in another process; SIGKILL it soon after ``chunk`` chunks; return how many it drew."""
    import signal
    import time

    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path), str(n_jobs)],
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    partial = path.with_name(path.name + ".partial")
    deadline = time.monotonic() + 120
    drawn = path / "checksum" / "c"
    while process.poll() is None and time.monotonic() < deadline:
        done = len(list(drawn.iterdir())) if drawn.is_dir() else 0
        if done >= chunk and partial.is_dir():
            time.sleep(delay)
            break
        time.sleep(0.0005)
    with_group = os.killpg if process.poll() is None else lambda *_: None
    with_group(process.pid, signal.SIGKILL)
    process.communicate()
    return len(list(drawn.iterdir())) if drawn.is_dir() else 0


def interrupt_and_compare(tmp_path, reference, moments, seed):
    rng = np.random.default_rng(seed)
    reached = []
    for moment in range(moments):
        path = tmp_path / str(moment)
        n_jobs = 2 if moment == 1 else 1
        reached.append(
            kill_while_drawing(path, int(rng.integers(0, 9)), rng.uniform(0, 0.01), n_jobs)
        )
        create(path, exist_ok=True)
        assert folder_sha256(path) == folder_sha256(reference.path)
        assert not path.with_name(path.name + ".partial").exists()
    # most of the kills must have hit a store that was being drawn
    assert sum(0 < n < 11 for n in reached) > moments / 2, reached


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killed_at_twenty_random_moments(tmp_path, reference):
    interrupt_and_compare(tmp_path, reference, 20, seed=12)


def test_two_processes_do_not_draw_one_store(reference, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "s"
    shutil.copytree(reference.path, path)
    undraw(path, 1)
    (tmp_path / "s.partial").mkdir()
    with open(tmp_path / "s.partial" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="another process"):
            EquilibriumSamples.open(path).resume()
    EquilibriumSamples.open(path).resume(progress=False).verify()


# ---------------------------------------------------------------------------- damage


def flip_byte(file, position):
    content = bytearray(file.read_bytes())
    content[position] ^= 0x20
    file.write_bytes(content)


def test_a_flipped_byte_is_named(reference, tmp_path):
    rng = np.random.default_rng(8)
    path = tmp_path / "s"
    shutil.copytree(reference.path, path)
    samples = EquilibriumSamples.open(path)
    checked = 0
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file.relative_to(path).as_posix()
        original = file.read_bytes()
        flip_byte(file, int(rng.integers(len(original))))
        with pytest.raises(CorruptStoreError) as caught:
            samples.verify()
        parts = name.split("/")
        if "c" in parts and parts[0] != "diagnostics" and parts[2] != "10":
            chunk = int(parts[3] if parts[0] in ("x", "energy", "order_parameter") else parts[2])
            assert caught.value.chunks == (chunk,)
            assert f"chunk {chunk}:" in str(caught.value)
            checked += 1
        else:
            assert caught.value.chunks == ()
        file.write_bytes(original)
    assert checked == 50  # five files in each of ten chunks
    samples.verify()


def test_flipped_metadata_is_noticed_on_opening(reference, tmp_path):
    rng = np.random.default_rng(9)
    path = tmp_path / "s"
    shutil.copytree(reference.path, path)
    original = (path / "zarr.json").read_bytes()
    for position in rng.integers(len(original), size=40):
        flip_byte(path / "zarr.json", int(position))
        with pytest.raises(ValueError, match=r"damaged|not a readable store|not one of"):
            EquilibriumSamples.open(path)
        (path / "zarr.json").write_bytes(original)


def test_missing_file_and_unreadable_chunk(reference, tmp_path):
    path = tmp_path / "s"
    shutil.copytree(reference.path, path)
    samples = EquilibriumSamples.open(path)
    file = path / "x" / "c" / "0" / "6" / "0" / "0"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptStoreError, match="chunk 6") as caught:
        samples.arrays()
    assert caught.value.chunks == (6,)
    # what is not damaged can still be read
    assert samples.split(0.3)[0].n_samples == 560
    (path / "diagnostics" / "c" / "0" / "0" / "0").write_bytes(b"x")
    with pytest.warns(UserWarning, match="diagnostics"):
        EquilibriumSamples.open(path)
    (path / "x" / "zarr.json").unlink()
    with pytest.raises(CorruptStoreError, match=r"x/zarr\.json"):
        samples.verify()


READ_ONLY = """
import os, sys
from pathlib import Path
from mfvae.data import EquilibriumSamples
from mfvae.systems import CurieWeiss
folder = Path(sys.argv[1])
EquilibriumSamples.open(folder / "warm").arrays()
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
def attempt(action):
    try:
        action()
    except PermissionError as error:
        print(error)
    else:
        raise SystemExit("no error")
attempt(lambda: EquilibriumSamples.open(folder / "partial").resume(progress=False))
attempt(lambda: EquilibriumSamples.create(
    folder / "new", CurieWeiss(16), [1.0], 100, seed=0, progress=False))
samples = EquilibriumSamples.open(folder / "complete")
samples.resume()
samples.verify()
print(samples.arrays()[0].shape, len(samples.split()[0].arrays()[0]))
partial = EquilibriumSamples.open(folder / "partial")
print(partial.split(0.5)[0].arrays()[0].shape)
"""


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_read_only_folder(reference):
    """As an unprivileged user: a clear error, and everything drawn stays readable."""
    folder = Path(tempfile.mkdtemp(prefix="mfvae-"))
    try:
        for name in ("warm", "complete", "partial"):
            shutil.copytree(reference.path, folder / name)
        undraw(folder / "partial", 9)
        before = folder_sha256(folder)
        for item in [folder, *folder.rglob("*")]:
            item.chmod(0o555 if item.is_dir() else 0o444)
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", READ_ONLY, str(folder)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        first, second, *rest = result.stdout.splitlines()
        assert "cannot write the store" in first
        assert "stay readable" in first
        assert "cannot write the store" in second
        assert rest == ["(2400, 16) 2160", "(1200, 16)"]
        assert folder_sha256(folder) == before
    finally:
        for item in [folder, *folder.rglob("*")]:
            if item.is_dir():
                item.chmod(0o755)
        shutil.rmtree(folder)


# ---------------------------------------------------------------------------- equilibrium


def test_diagnostics_are_stored_and_shown(tmp_path):
    path = tmp_path / "s"
    samples = create(path, 40_000, system=Autoregressive(0.8), burn_in=100, thinning=2, n_chains=20)
    phi = 0.8**2  # two steps between records
    expected = (1 + phi) / (2 * (1 - phi))
    measured = samples.diagnostics.table[:, 1, 0]
    np.testing.assert_allclose(measured, expected, rtol=0.3)
    # the energy is the square: its autocorrelation decays twice as fast
    energy = samples.diagnostics.table[:, 0, 0]
    np.testing.assert_allclose(energy, (1 + phi**2) / (2 * (1 - phi**2)), rtol=0.3)
    size = samples.diagnostics.table[:, 1, 1]
    np.testing.assert_allclose(size, 40_000 / (2 * measured), rtol=1e-12)
    text = repr(EquilibriumSamples.open(path))
    assert "R-hat" in text
    assert " 100        2 " in text  # burn-in and thinning
    assert "NOT EQUILIBRATED" not in text


@pytest.mark.parametrize(
    ("system", "arguments"),
    [
        (Autoregressive(0.98), {"burn_in": 0}),
        (Autoregressive(0.5, well=3.0), {}),
        (Autoregressive(0.995), {"burn_in": 3000}),
    ],
    ids=["no burn-in", "stuck in wells", "chains too short"],
)
def test_a_warning_says_when_data_are_not_equilibrated(tmp_path, system, arguments):
    with pytest.warns(NotEquilibratedWarning, match="not equilibrated at temperature 0.8, 1, 1.3"):
        create(tmp_path / "s", 2000, system=system, **arguments)
    with pytest.warns(NotEquilibratedWarning, match="burn_in"):
        EquilibriumSamples.open(tmp_path / "s")


def test_a_system_of_ones_own_can_be_reopened_and_resumed(tmp_path):
    samples = create(tmp_path / "s", system=Autoregressive(0.1))
    expected = folder_sha256(samples.path)
    undraw(samples.path, 2)
    with pytest.raises(ValueError, match="Autoregressive"):
        EquilibriumSamples.open(samples.path).resume(progress=False)
    EquilibriumSamples.open(samples.path, system=Autoregressive(0.1)).resume(progress=False)
    assert folder_sha256(samples.path) == expected


# ---------------------------------------------------------------------------- bad input


def test_existing_store(reference, tmp_path):
    with pytest.raises(FileExistsError, match="exists already"):
        create(reference.path)
    assert create(reference.path, exist_ok=True).n_samples == 800
    with pytest.raises(FileExistsError, match="seed"):
        create(reference.path, exist_ok=True, seed=6)
    (tmp_path / "something").mkdir()
    with pytest.raises(FileExistsError, match="no usable store"):
        create(tmp_path / "something", exist_ok=True)


def test_not_a_store(tmp_path):
    with pytest.raises(FileNotFoundError, match="no store"):
        EquilibriumSamples.open(tmp_path / "nothing")
    zarr.create_group(tmp_path / "other")
    with pytest.raises(ValueError, match="not one of equilibrium samples"):
        EquilibriumSamples.open(tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"n_samples": 0}, ValueError),
        ({"n_samples": 2.5}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": "a"}, TypeError),
        ({"n_jobs": 0}, ValueError),
        ({"n_jobs": 1.5}, TypeError),
        ({"n_chains": 0}, ValueError),
        ({"burn_in": -1}, ValueError),
        ({"thinning": 0}, ValueError),
        ({"system": "ising"}, TypeError),
        ({"start": object()}, TypeError),
    ],
)
def test_bad_arguments(tmp_path, arguments, error):
    with pytest.raises(error):
        create(tmp_path / "s", **arguments)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("temperatures", [1.0, [], [0.0], [-1.0], [np.nan], [[1.0]]])
def test_bad_temperatures(tmp_path, temperatures):
    with pytest.raises(ValueError, match="temperature"):
        EquilibriumSamples.create(tmp_path / "s", CurieWeiss(8), temperatures, 10, seed=0)


# ---------------------------------------------------------------------------- memory

MEMORY = """
import resource, sys
import numpy as np
from mfvae.data import EquilibriumSamples
from mfvae.systems import CurieWeiss
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def draw(name, n_samples):
    return EquilibriumSamples.create(
        sys.argv[1] + name, CurieWeiss(4096), [0.9, 1.1], n_samples, seed=0,
        n_chains=4 * n_samples // 400, progress=False)
draw("/small", 800)
before = peak()
samples = draw("/large", 100 * 800)
written = peak()
samples.verify()
import zarr
n_bytes = zarr.open_group(samples.path, mode="r")["x"].nbytes
print(n_bytes / 2**20, written - before, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="resource limits of POSIX")
def test_memory_stays_flat(tmp_path):
    """A store of 625 MiB is written and verified with at most 48 MiB more than one of 6 MiB."""
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    total, written, read = map(float, result.stdout.split())
    assert total == 625
    assert written < 48
    assert read < 48
