"""A machine that runs classic BPF programs as the kernel does, for looking at every answer."""

import struct

MASK = 0xFFFFFFFF


def run(program: bytes, *, arch: int, number: int, args: tuple[int, ...] = ()) -> int:
    """Return what a seccomp program answers to a call."""
    wide = [a & 0xFFFFFFFFFFFFFFFF for a in (*args, *[0] * (6 - len(args)))]
    data = struct.pack("=IIQ6Q", number & MASK, arch, 0, *wide)
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, true, false, k = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x54:
                accumulator &= k
            case 0x06:
                return k
            case 0x15:
                at += true if accumulator == k else false
            case 0x25:
                at += true if accumulator > k else false
            case 0x35:
                at += true if accumulator >= k else false
            case 0x45:
                at += true if accumulator & k else false
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")
