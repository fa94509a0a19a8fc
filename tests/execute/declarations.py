#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What wasmtime_library.hpp declares equals what the library's own bindings say.

declarations.py              compare; exits 77 where the library is not there
declarations.py --self-test  plant each kind of difference and see it found
"""

import ctypes
import enum
import importlib
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
HEADER = TOP / "host/nkv/target/execute/wasmtime_library.hpp"
SCALARS = {
    "void": None,
    "bool": ctypes.c_bool,
    "std::uint8_t": ctypes.c_uint8,
    "std::int32_t": ctypes.c_int32,
    "std::uint32_t": ctypes.c_uint32,
    "std::int64_t": ctypes.c_int64,
    "std::uint64_t": ctypes.c_uint64,
    "std::size_t": ctypes.c_size_t,
    "char": ctypes.c_char,
}
# Ours, and the bindings': the types whose layout is known here, with their fields.
STRUCTS = {
    "byte_vec": ("wasm_byte_vec_t", ("size", "data")),
    "func": ("wasmtime_func", ("store_id", "__private")),
    "memory": ("wasmtime_memory", ("store_id", "__private1", "__private2")),
    "instance": ("wasmtime_instance", ("store_id", "__private")),
    "external": ("wasmtime_extern", ("kind", "of")),
    "val_raw": ("wasmtime_val_raw", ("i32", "i64", "v128")),
}
SIZES = {"byte_vec": 16, "func": 16, "memory": 24, "instance": 16, "external": 32, "val_raw": 16}
CONSTANTS = {
    "kind_func": "WASM_EXTERN_FUNC",
    "kind_memory": "WASM_EXTERN_MEMORY",
    "valkind_i32": "WASM_I32",
    "valkind_i64": "WASM_I64",
    "trap_stack_overflow": "WASMTIME_TRAP_CODE_STACK_OVERFLOW",
    "trap_out_of_fuel": "WASMTIME_TRAP_CODE_OUT_OF_FUEL",
}
OPAQUE = ("config", "engine", "module", "store", "context", "error", "trap", "externtype", "functype", "valtype",
          "exporttype", "importtype")


def bindings(folder):
    """The module of the bindings, and what its enumerations say, by name."""
    sys.path.insert(0, str(folder.parent))
    module = importlib.import_module("wasmtime._bindings")
    sys.path.pop(0)
    text = (folder / "_bindings.py").read_text()
    numbers = {}
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            for at, (name, member) in enumerate(kind.__members__.items()):
                # Python counts from 1 where C counts from 0.
                numbers[name] = at if re.search(rf"\b{name} = auto\(\)", text) else member.value
    return module, numbers


def declared(text):
    """[(result, name, [parameter])] of the list of functions."""
    body = text[text.index("#define NKV_WASMTIME_FUNCTIONS"):text.index("}  // namespace wasmtime\n")]
    body = re.sub(r"\s*\\\n\s*", " ", body)
    out = []
    for result, name, parameters in re.findall(r"NKV_F\(([^,()]+), (\w+),\s*\(([^()]*)\)\)", body):
        out.append((result.strip(), name, [p.strip() for p in parameters.split(",") if p.strip()]))
    return out


def is_pointer(kind):
    return isinstance(kind, type) and (issubclass(kind, ctypes._Pointer) or issubclass(kind, ctypes._CFuncPtr)
                                       or kind in (ctypes.c_void_p, ctypes.c_char_p))


def target_name(kind):
    return getattr(getattr(kind, "_type_", None), "__name__", "")


def alike(ours, theirs):
    """Whether a type of the header is one of the bindings."""
    ours = re.sub(r"\bconst\b", "", ours).strip()
    if ours.endswith("*"):
        if not (is_pointer(theirs) or theirs is ctypes.c_size_t and ours == "error*"):
            return False
        inner = ours[:-1].strip()
        if inner.endswith("*"):
            return is_pointer(getattr(theirs, "_type_", None)) and alike(inner, theirs._type_)
        if inner in ("void", "finalizer", "epoch_callback"):
            return theirs is ctypes.c_void_p or issubclass(theirs, ctypes._CFuncPtr)
        if inner in SCALARS:
            have = getattr(theirs, "_type_", None)
            return isinstance(have, type) and ctypes.sizeof(have) == ctypes.sizeof(SCALARS[inner])
        # The names are theirs without wasm_ and _t; a name is a vector of bytes.
        name = re.sub(r"^(wasmtime|wasm)_|_t$", "", target_name(theirs))
        name = re.sub(r"^(wasmtime|wasm)_|_t$", "", name)
        return {"name": "byte_vec", "message": "byte_vec", "extern": "external"}.get(name, name) == inner
    if SCALARS.get(ours, ours) is None:
        return theirs is None
    want = SCALARS.get(ours)
    return want is not None and isinstance(theirs, type) and not is_pointer(theirs) and \
        ctypes.sizeof(want) == ctypes.sizeof(theirs) and (want is ctypes.c_bool) == (theirs is ctypes.c_bool)


def findings(text, folder):
    module, numbers = bindings(folder)
    functions = declared(text)
    if len(functions) < 40:
        yield f"only {len(functions)} functions were found in the header"
    for result, name, parameters in functions:
        theirs = getattr(module, "_" + name, None)
        if theirs is None:
            yield f"{name}: the library has no such function"
            continue
        if not alike(result, theirs.restype):
            yield f"{name}: returns {result}, and the library's {theirs.restype}"
        if len(parameters) != len(theirs.argtypes):
            yield f"{name}: {len(parameters)} parameters, and the library's has {len(theirs.argtypes)}"
            continue
        for i, (ours, other) in enumerate(zip(parameters, theirs.argtypes)):
            if not alike(ours, other):
                yield f"{name}: parameter {i + 1} is {ours}, and the library's {other}"
    for ours, (theirs, fields) in STRUCTS.items():
        kind = getattr(module, theirs)
        if ctypes.sizeof(kind) != SIZES[ours]:
            yield f"{ours}: {SIZES[ours]} bytes, and the library's {ctypes.sizeof(kind)}"
        have = [f for f, *_ in kind._fields_]
        flat = have + [f for name, k, *_ in kind._fields_ if name.startswith("_anon") for f, *_ in k._fields_]
        for f in fields:
            if f not in flat:
                yield f"{ours}: the library's has no field {f}"
    if module.wasmtime_extern.of.offset != 8:
        yield "external: the union does not lie at 8"
    for ours, theirs in CONSTANTS.items():
        found = re.search(rf"\b{ours} = (\d+);", text)
        other = numbers.get(theirs)
        if not found or other is None or int(found.group(1)) != int(other):
            yield f"{ours}: {found and found.group(1)}, and the library's {theirs} is {other}"
    for name in OPAQUE:
        if f"struct {name};" not in text:
            yield f"the header does not declare {name}"


def self_test(text, folder):
    planted = (
        ("(config*, bool))", "(config*, std::uint32_t))"),
        ("wasm_engine_new_with_config, (config*)", "wasm_engine_new_with_config, (engine*)"),
        ("NKV_F(bool, wasmtime_trap_code, (const trap*, std::uint8_t*))",
         "NKV_F(bool, wasmtime_trap_code, (const trap*))"),
        ("NKV_F(void, wasm_trap_delete", "NKV_F(trap*, wasm_trap_delete"),
        ("wasmtime_memory_data_size", "wasmtime_memory_length"),
        ("std::size_t, module**", "std::uint32_t, module**"),
        ("trap_out_of_fuel = 11", "trap_out_of_fuel = 12"),
        ("valkind_i64 = 1", "valkind_i64 = 2"),
        ("kind_memory = 3", "kind_memory = 2"),
    )
    failed = 0
    for before, after in planted:
        if text.count(before) == 0 or not list(findings(text.replace(before, after, 1), folder)):
            print(f"not found: {before} -> {after}")
            failed += 1
    print(f"{len(planted) - failed} of {len(planted)} planted differences found")
    return failed


def main():
    asked = subprocess.run([sys.executable, TOP / "examples/common/wasmtime.py", "library"], check=False,
                           stdout=subprocess.PIPE, text=True)
    library = asked.stdout.strip()
    if not library:
        print("skipped: there is no wasmtime: .ci/setup.sh test installs it")
        return 77
    folder = pathlib.Path(library).parents[1]
    text = HEADER.read_text()
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test(text, folder) else 0
    found = list(findings(text, folder))
    print("\n".join(found) or "every declaration is the library's")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
