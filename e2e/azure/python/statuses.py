"""The lifecycle of one resource, with the exact status of every call."""

import dataclasses
import unittest

from azure.ai.ml._restclient.arm_ml_service import MachineLearningServicesMgmtClient
from azure.core.exceptions import ResourceNotFoundError

import emulator
from emulator import POLL, contains

ASYNC, LOCATION = "azure-asyncoperation", "location"


@dataclasses.dataclass
class Lifecycle:
    """One kind of resource: where its operations are, and what each is to be answered with."""

    group: str
    names: tuple
    body: dict
    # The header that leads to the operation of a create and of a delete; none where they are done at once.
    create: str | None = None
    delete: str | None = None
    created: int = 201
    updated: int = 200
    # Fields that are sent and never answered, by their path.
    secret: tuple = ()
    patch: dict | None = None
    patched: tuple = (200, 202)
    get: str = "get"
    put: str = "create_or_update"
    deleting: dict = dataclasses.field(default_factory=dict)
    listing: str = "list"
    # How many of the names the list takes.
    below: int = -1
    deleted: int | None = None
    absent: tuple = (204,)


class Tracked:
    """A group of operations that remembers which of them were called."""

    def __init__(self, group, name, called):
        self._group, self._name, self._called = group, name, called

    def __getattr__(self, operation):
        self._called.add((self._name, operation))
        return getattr(self._group, operation)


class StatusCase(unittest.TestCase):
    """A test with the client that azure-ai-ml carries inside, of api-version 2025-12-01."""

    called = set()

    @classmethod
    def setUpClass(cls):
        cls.recorder = emulator.Recorder()
        cls.raw = MachineLearningServicesMgmtClient(
            credential=emulator.credential(),
            subscription_id=emulator.SUBSCRIPTION,
            base_url=emulator.ENDPOINT,
            credential_scopes=[f"{emulator.ENDPOINT}/.default"],
            polling_interval=POLL,
            retry_total=0,
            raw_response_hook=cls.recorder,
        )
        cls.addClassCleanup(cls.raw.close)

    def group(self, name):
        """A group of operations by its name."""
        return Tracked(getattr(self.raw, name), name, StatusCase.called)

    def call(self, group, operation, *names, statuses, header=None, **keywords):
        """Calls an operation to its end, and holds the first answer to a status and a header."""
        mark = self.recorder.mark()
        keywords = {name: value for name, value in keywords.items() if value is not None}
        if operation.startswith("begin_"):
            keywords["polling_interval"] = POLL
        result = getattr(self.group(group), operation)(*names, **keywords)
        if operation.startswith("begin_"):
            result = result.result(timeout=30)
        elif operation.startswith("list") and hasattr(result, "by_page"):
            result = list(result)
        answers = self.recorder.since(mark)
        first = answers[0]
        told = f"{first.method} {first.path} answered {first.status}: {first.body}"
        self.assertIn(first.status, statuses, told)
        self.assertIn("x-ms-request-id", first.headers, told)
        if header and first.status in (201, 202):
            self.assertIn(header, first.headers, told)
        return result

    def run_lifecycle(self, kind):
        """Creates, reads, lists, updates, patches and deletes one resource."""
        self.run_creation(kind)
        self.run_update(kind)
        self.run_deletion(kind)

    def run_creation(self, kind):
        """From absent to listed."""
        with self.assertRaises(ResourceNotFoundError) as refused:
            self.call(kind.group, kind.get, *kind.names, statuses=(404,))
        self.assertTrue(refused.exception.error and refused.exception.error.code, "a refusal needs a code")
        put = ("begin_" if kind.create else "") + kind.put
        made = self.call(
            kind.group, put, *kind.names, kind.body, statuses=(kind.created,), header=kind.create
        )
        self.assert_kept(kind, made)
        self.assert_kept(kind, self.call(kind.group, kind.get, *kind.names, statuses=(200,)))
        if kind.listing:
            self.assertIn(kind.names[-1].lower(), self.listed(kind))

    def run_update(self, kind):
        """The same again, then a patch."""
        put = ("begin_" if kind.create else "") + kind.put
        again = self.call(kind.group, put, *kind.names, kind.body, statuses=(kind.updated,))
        self.assert_kept(kind, again)
        if kind.patch is not None:
            update = "begin_update" if hasattr(getattr(self.raw, kind.group), "begin_update") else "update"
            patched = self.call(kind.group, update, *kind.names, kind.patch, statuses=kind.patched)
            self.assertEqual([], contains(kind.patch, plain(patched)))
            read = self.call(kind.group, kind.get, *kind.names, statuses=(200,))
            self.assertEqual([], contains(kind.patch, plain(read)))

    def run_deletion(self, kind):
        """From there to gone, twice."""
        delete = "begin_delete" if kind.delete else "delete"
        status = kind.deleted or (202 if kind.delete else 200)
        self.call(
            kind.group, delete, *kind.names, statuses=(status,), header=kind.delete, **kind.deleting
        )
        with self.assertRaises(ResourceNotFoundError):
            self.call(kind.group, kind.get, *kind.names, statuses=(404,))
        if kind.listing:
            self.assertNotIn(kind.names[-1].lower(), self.listed(kind))
        self.call(kind.group, delete, *kind.names, statuses=kind.absent, **kind.deleting)

    def listed(self, kind):
        """The names in the list that a resource is in."""
        names = self.call(kind.group, kind.listing, *kind.names[: kind.below], statuses=(200,))
        return [one.name.lower() for one in names]

    def assert_kept(self, kind, answer):
        """What was sent is in the answer, and what is secret is not."""
        answer, sent = plain(answer), without(kind.body, kind.secret)
        self.assertEqual([], contains(sent, answer))
        for path in kind.secret:
            self.assertIsNone(at(answer, path), f"{path} is secret and was answered")


def plain(answer):
    """An answer as it was on the wire."""
    return answer.as_dict() if hasattr(answer, "as_dict") else answer


def at(value, path):
    """What is at a path of keys, if anything."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def without(value, paths):
    """A copy without what is at these paths."""
    paths = [path for path in paths if path]
    if not isinstance(value, dict):
        return value
    return {
        key: without(inner, [path[1:] for path in paths if path[0] == key])
        for key, inner in value.items()
        if (key,) not in paths
    }
