"""An adapter over a JSON file of people that other programs read: {"ID", "Logins", "Disabled", "Salt", "Hash", "Rounds",
"Version"}, salts and hashes in base64, hashes by PBKDF2-HMAC-SHA-256. The settings are {"path": …, "min_length": 12}."""

import base64
import fcntl
import hashlib
import json
import os
import secrets
import unicodedata

import regain_directory as rd

ROUNDS = 600_000


class File:
    def __init__(self, name, config):
        config = config or {}
        self.path = config.get("path")
        self.least = config.get("min_length", 12)
        self.rounds = config.get("rounds", ROUNDS)
        if not isinstance(self.path, str):
            raise rd.Refused("config", message="settings: want a path")

    def describe(self):
        self.health()
        return {"server": "people file", "capabilities": {
            "reset_enforces_quality": True, "violation_detail": True, "marker": True, "writes_everywhere_visible": True,
            "verify": True, "suggested_concurrency": 4}}

    def health(self):
        self._load()

    def find(self, login, **_):
        found = [e for e in self._load() if login in e["Logins"]]
        if len(found) != 1:
            raise rd.Refused("ambiguous" if found else "not_found")
        return {"user": found[0]["ID"], "login": found[0]["Logins"][0], "attrs": {"login": found[0]["Logins"]},
                "status": self._status(found[0])}

    def status(self, user):
        return self._status(self._one(self._load(), user))

    def verify(self, user, password):
        entry = self._one(self._load(), user)
        if entry["Disabled"]:
            raise rd.Refused("disabled")
        if not secrets.compare_digest(self._hash(password, entry), base64.b64decode(entry["Hash"])):
            raise rd.Refused("wrong_password")

    def reset(self, user, new, must_change=False, if_marker="", enforce_history="prefer", **_):
        if must_change or enforce_history == "require":
            raise rd.Refused("unsupported")
        new = unicodedata.normalize("NFC", new)
        if len(new) < self.least:
            raise rd.too_short(self.least)
        try:
            lock = open(self.path + ".lock", "a")
        except OSError:
            raise rd.Refused("unavailable")
        with lock:  # two writers would lose one another's passwords
            fcntl.flock(lock, fcntl.LOCK_EX)
            people = self._load()
            entry = self._one(people, user)
            if entry["Disabled"]:
                raise rd.Refused("disabled")
            if if_marker and if_marker != str(entry["Version"]):
                raise rd.Refused("conflict")
            entry["Salt"], entry["Rounds"] = base64.b64encode(secrets.token_bytes(16)).decode(), self.rounds
            entry["Hash"] = base64.b64encode(self._hash(new, entry)).decode()
            entry["Version"] += 1
            try:
                self._store(people)
            except OSError:
                raise rd.Refused("unavailable")  # os.replace did not happen: the old file stands
        return rd.applied(marker=str(entry["Version"]))

    def _status(self, entry):
        return {"disabled": entry["Disabled"], "marker": str(entry["Version"]), "server": "file"}

    def _hash(self, password, entry):
        salt = base64.b64decode(entry["Salt"])
        return hashlib.pbkdf2_hmac("sha256", unicodedata.normalize("NFC", password).encode(), salt, entry["Rounds"])

    def _one(self, people, user):
        for entry in people:
            if entry["ID"] == user:
                return entry
        raise rd.Refused("not_found")

    def _load(self):
        try:
            with open(self.path) as f:
                return json.load(f)
        except (OSError, ValueError):
            raise rd.Refused("unavailable")

    def _store(self, people):
        temporary = self.path + ".new"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            json.dump(people, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, self.path)


if __name__ == "__main__":
    rd.serve("people-file", "1.0", File)
