"""Where things are: the programs that are measured, the folders that are written to."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from patience import Patience
from processes import Fault

# For measuring again what others have disturbed, in one call of run.sh.
SPARE_SECONDS = 180

REPOSITORY = Path(__file__).resolve().parent.parent.parent


class Work:
    """One call of run.sh. Its scratch folder goes away with it."""

    def __init__(self, *, binaries=None, quick=False):
        self.repository = REPOSITORY
        self.target = (REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")).resolve()
        self.results = self.target / "performance"
        self.given_binaries = binaries
        self.binaries = Path(binaries).resolve() if binaries else self.target / "release"
        self.load_program = self.binaries / "presence-load"
        self.synapse_version = "1.163.2"
        self.synapse_prepared = self.target / "performance-prepared" / "synapse"
        # Set by prepare.py, when somebody needs it.
        self.synapse_python = None
        self.plot_python = None
        self.quick = quick
        self.patience = Patience(self.seconds(SPARE_SECONDS))
        self.scratch = None

    @contextlib.contextmanager
    def scratch_folder(self):
        """On the disk of the target directory, so that databases are on a disk and not in memory."""
        self.results.mkdir(parents=True, exist_ok=True)
        self.scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=self.results))
        try:
            yield
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def fresh(self, name):
        """An empty folder in the scratch folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch))

    def seconds(self, wanted):
        """How long a run is measured: a quick look takes a third."""
        return max(1.0, wanted / 3) if self.quick else wanted

    def say(self, text):
        """To who watches. The figures go to stdout."""
        print(text, file=sys.stderr, flush=True)

    def run(self, command, seconds, **options):
        """Runs a program of preparing; what it says is shown when it fails."""
        command = [str(word) for word in command]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, **options
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()[-3000:]
            raise Fault(f"{' '.join(command)}: ended with {done.returncode}:\n{said}")
        return done.stdout

    def free_port(self):
        """For programs that cannot choose one themselves."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]
