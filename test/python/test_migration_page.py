"""The page on migrating from TF-TRT, followed word for word."""

import re
import shutil

import support

PAGE = support.ROOT / "docs/migrating-from-tf-trt.md"


def script(name):
    """The block of the page that begins with the file's name."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(f"# {name}\n")]
    return found


def test_an_old_script_becomes_a_served_model(v2_saved_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(v2_saved_model, tmp_path / "saved_model")
    converted = support.run_python("-c", script("convert.py"))
    assert "[*] Total number of TensorRT engines: 1" in converted
    served = support.run_python("-c", script("serve.py"))
    assert "(1, 5)" in served and "(8, 5)" in served
    assert "'engine_calls': 2, 'fallbacks': 0" in served


def test_the_modules_are_there_after_import_graft():
    printed = support.run_python(
        "-c",
        "import sys, graft; assert 'tensorflow' not in sys.modules\n"
        "print(graft.tensorrt.Converter.__name__, graft.trt_convert.TrtPrecisionMode.INT8)",
    )
    assert printed.split()[-2:] == ["TrtGraphConverterV2", "INT8"]
