"""The child's end of regain.directory.v1: write an adapter for a password directory in Python, with nothing installed.

    import regain_directory as rd

    class Adapter:
        def describe(self): return {"server": "hr 4.2", "capabilities": {"marker": True}}
        def health(self): ...
        def find(self, login, **more): return {"user": "7", "login": "ada", "status": {}}
        def status(self, user): return {}
        def reset(self, user, new, **more): return rd.applied()

    if __name__ == "__main__":
        rd.serve("hr", "1.0", lambda name, config: Adapter())

Every method gets the parameters of its request as keyword arguments and gives its result, in the words of the protocol. What
an adapter can beyond these is what it has a method for: change, unlock, require_change, policy, list, verify, reconcile.
Methods are called from several threads at once. To refuse, raise Refused. Anything else that is raised is "unknown" where it
hit a write, because nobody can say then whether it was written, and "unavailable" elsewhere; so raise Refused for whatever
you know. Standard output is the wire: print goes to standard error. Never print a password.
"""

import json
import sys
import threading
import time

PROTOCOL = 1
API = "1.0"
MAX_LINE = 1 << 20  # bytes
ALWAYS = ("describe", "health", "find", "status", "reset")
OPTIONAL = ("change", "unlock", "require_change", "policy", "list", "verify", "reconcile")
WRITES = ("reset", "change", "unlock", "require_change")
AT_ONCE = 32


class Refused(Exception):
    """An error the host understands. kind is one of: not_found ambiguous guarded disabled admin_locked locked account_expired
    must_change password_expired wrong_password cannot_change policy permission conflict busy read_only unavailable unknown
    tls config unsupported. Of a write nothing was written, unless kind is unknown or outcome says otherwise."""

    def __init__(self, kind, outcome=None, violations=(), retry_after_ms=0, code=0, sub="", message="", server=""):
        super().__init__(kind)
        self.wire = {"kind": kind}
        for name, value in (("outcome", outcome), ("violations", list(violations)), ("retry_after_ms", retry_after_ms),
                            ("code", code), ("sub", sub), ("message", message), ("server", server)):
            if value:
                self.wire[name] = value


def applied(**more):
    """The result of a write that is known to be written; more: marker, server, unlocked, warnings."""
    return {"outcome": "applied", **more}


def too_short(least):
    """A password of fewer than so many characters."""
    return Refused("policy", violations=[{"code": "too_short", "limit": least}])


def remaining(deadline):
    """Seconds until a request's deadline, which a method gets as keyword argument "deadline" when it takes one."""
    return max(0.0, deadline - time.monotonic())


def serve(name, version, open_adapter):
    """Answers until standard input ends. open_adapter(name, config) makes the adapter; name is what its directory is called,
    config what the operator configured, or None."""
    wire, sys.stdout = sys.stdout.buffer, sys.stderr  # a stray print must not break the wire
    lock = threading.Lock()

    def say(answer):
        line = json.dumps(answer, ensure_ascii=True).encode() + b"\n"
        if len(line) > MAX_LINE:
            line = json.dumps({"id": answer["id"], "error": {"kind": "unavailable", "outcome": "unknown"}}).encode() + b"\n"
        with lock:
            wire.write(line)
            wire.flush()

    first = _read()
    if first is None:
        return
    if first.get("method") != "hello" or PROTOCOL not in first["params"]["protocols"]:
        say({"id": first.get("id", 0), "error": {"kind": "unsupported", "message": f"this adapter speaks protocol {PROTOCOL}"}})
        sys.exit(1)
    try:
        adapter = open_adapter(first["params"]["name"], first["params"].get("config"))
    except Refused as e:
        say({"id": first["id"], "error": e.wire})
        sys.exit(1)
    offered = [m for m in OPTIONAL if callable(getattr(adapter, m, None))]
    say({"id": first["id"], "result": {"protocol": PROTOCOL, "name": name, "version": version, "api": API, "methods": offered}})

    room = threading.Semaphore(AT_ONCE)
    threads = []
    while (request := _read()) is not None:
        method = request.get("method")
        if method == "cancel":  # advice: what is under way is finished
            continue
        if method not in ALWAYS and method not in offered:
            say({"id": request["id"], "error": {"kind": "unsupported", "outcome": "not_applied"}})
            continue
        room.acquire()
        threads = [t for t in threads if t.is_alive()]
        threads.append(threading.Thread(target=_work, args=(adapter, request, say, room)))
        threads[-1].start()
    for t in threads:
        t.join()
    if callable(getattr(adapter, "close", None)):
        adapter.close()


def _read():
    line = sys.stdin.buffer.readline(MAX_LINE + 1)
    if not line.endswith(b"\n"):
        return None  # the end, or a line that nobody may send
    return json.loads(line)


def _work(adapter, request, say, room):
    method, write = request["method"], request["method"] in WRITES
    try:
        do = getattr(adapter, method)
        arguments = dict(request.get("params") or {})
        if "deadline" in do.__code__.co_varnames[: do.__code__.co_argcount]:
            arguments["deadline"] = time.monotonic() + request.get("deadline_ms", 30_000) / 1000
        say({"id": request["id"], "result": do(**arguments) or {}})
    except Refused as e:
        say({"id": request["id"], "error": e.wire})
    except Exception as e:  # not its text, which may hold what it was given
        print(f"{method}: {type(e).__name__}", file=sys.stderr)
        say({"id": request["id"], "error": {"kind": "unknown" if write else "unavailable"}})
    finally:
        room.release()
