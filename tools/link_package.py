"""Makes the built Python package importable from this environment: a .pth file names its folder."""

import pathlib
import sys
import sysconfig

folder = pathlib.Path(sys.argv[1]).resolve()
link = pathlib.Path(sysconfig.get_path("purelib")) / "graft-build.pth"
if not link.exists() or link.read_text() != f"{folder}\n":
    link.write_text(f"{folder}\n")
