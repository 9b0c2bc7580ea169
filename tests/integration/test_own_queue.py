#!/usr/bin/env python3
"""A queue that nobody ships, by a rule file that was written from README.md's guide alone; and what rule files get
wrong, as `wirespan rules check` tells it."""

import test_jobs
from support import case, spans
from support.process import clean_environment, run

COMMAND = case.BUILD / "src" / "command" / "wirespan"
RULES = test_jobs.JOBS / "parcels.rules"
LINES_AT_MOST = 100


class Parcels(test_jobs.Jobs):
    """jobs/parcels.rules with a real server, and couriers of Python and of Node."""

    COUNT = 6

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node_folder = cls.install_queues()

    def parcels(self, what: str, protocol: int = 2) -> tuple[str, list[spans.Span]]:
        return self.observed(
            self.python, test_jobs.JOBS / "parcels.py", what, self.redis.port, protocol, self.COUNT,
            WIRESPAN_RULES=str(RULES),
        )

    def parcels_of_node(self, what: str) -> list[spans.Span]:
        return self.observed(
            "node", test_jobs.JOBS / "parcels.mjs", what, self.redis.port, self.COUNT,
            WIRESPAN_RULES=str(RULES), NODE_FOLDER=self.node_folder,
        )[1]

    def post(self, protocol: int = 2) -> dict[str, spans.Span]:
        output, found = self.parcels("post", protocol)
        submitted = test_jobs.by_job(found, "job.submit")
        self.assertEqual(list(submitted), output.split())
        self.assertNotIn("secret street", str([span.attributes for span in found]))
        return submitted

    def check_delivery(self, found: list[spans.Span], submitted: dict[str, spans.Span], worker: str, attempt: int) -> None:
        attempts = test_jobs.by_job(found, "job.process")
        self.assertEqual(list(attempts), list(submitted))
        claims, completed = test_jobs.by_job(found, "job.claim"), test_jobs.by_job(found, "job.complete")
        failed = test_jobs.by_job(found, "job.fail")
        for number, (parcel, span) in enumerate(attempts.items()):
            returned = number % 3 == 2
            self.assertEqual(
                {name: span.get(name) for name in (
                    "messaging.system", "messaging.destination.name", "job.type", "job.attempt", "worker.id",
                    "processing.status", "job.progress.percent",
                )},
                {"messaging.system": "parcels", "messaging.destination.name": "depot:north", "job.type": "letter",
                 "job.attempt": attempt, "worker.id": worker,
                 "processing.status": "failed" if returned else "completed", "job.progress.percent": 50},
            )
            self.assertEqual(span.status, 2 if returned else 0)
            self.assertEqual((parcel in failed, parcel in completed), (returned, not returned))
            if returned:
                self.assertEqual(span.events[-1]["name"], "exception")
            # In the trace of who posted it, linked to that.
            self.assertEqual(span.trace_id, submitted[parcel].trace_id)
            self.assertEqual([link["spanId"] for link in span.links], [submitted[parcel].span_id])
            self.assertEqual(claims[parcel].trace_id, span.trace_id)
            below = [each.name.split()[0].upper() for each in found if each.parent_id == span.span_id]
            self.assertEqual(below, ["HSET", "INCRBY" if "INCRBY" in below else "INCR"])
        self.assertEqual(len({span.trace_id for span in attempts.values()}), self.COUNT)
        # What found nothing, and what only looks, is counted.
        polls = {name for name in (span.name.split()[0].upper() for span in found) if name.startswith("X")}
        self.assertLessEqual(polls, {"XGROUP", "XACK"})

    def test_delivered_by_python(self):
        for protocol in (2, 3):
            with self.subTest(protocol):
                run([case.servers.program("redis-cli"), "-p", self.redis.port, "FLUSHALL"], clean_environment())
                submitted = self.post(protocol)
                self.check_delivery(self.parcels("deliver", protocol)[1], submitted, "anna", 1)

    def test_delivered_by_node(self):
        submitted = self.post()
        self.check_delivery(self.parcels_of_node("deliver"), submitted, "dora", 1)

    def check_second_attempts(self, take_over) -> None:
        submitted = self.post()
        first = test_jobs.by_job(self.parcels("forget")[1], "job.process")
        self.assertEqual(list(first), list(submitted))
        for parcel, span in first.items():
            self.assertEqual(span.trace_id, submitted[parcel].trace_id)
            self.assertEqual(span.get("wirespan.job.end"), "unknown")
            self.assertEqual(span.get("job.attempt"), 1)
        take_over(submitted)

    def test_second_attempts_by_python(self):
        self.check_second_attempts(
            lambda submitted: self.check_delivery(self.parcels("take-over")[1], submitted, "berta", 2)
        )

    def test_second_attempts_by_node(self):
        self.check_second_attempts(
            lambda submitted: self.check_delivery(self.parcels_of_node("take-over"), submitted, "cesar", 2)
        )

    def test_the_file_is_short_and_explained(self):
        told = run([COMMAND, "rules", "check", RULES], clean_environment())
        self.assertEqual(told.code, 0, told.errors.decode())
        self.assertLess(len(RULES.read_text(encoding="utf-8").splitlines()), LINES_AT_MOST)
        text = told.output.decode()
        self.assertIn("queue parcels; a job is named by id queue\n", text)
        self.assertIn(": claim, by XAUTOCLAIM on {queue}; tells worker, attempt, id, type\n", text)
        self.assertIn(": claim, by XREADGROUP if argument 2 is couriers; tells worker, attempt, queue, id, type\n", text)
        self.assertIn(": complete, by XACK on {queue} if it is claimed here; tells id\n", text)


# What a rule file may get wrong: its text, the line that is told, and the reason.
ORDERS = "queue orders\n"
CLAIM = ORDERS + "on LPOP jobs\n    claim\n    id from reply\n"
MISTAKES = [
    ("on LPOP jobs\n    claim\n", 1, "a rule belongs to a queue: put 'queue NAME' before it"),
    ("que orders\n", 1, "a line begins with queue, identity, jobs or on, not with 'que'"),
    ("queue my orders\n", 1, "nothing belongs behind the end: 'orders'"),
    (ORDERS, 1, "there is no rule for the queue 'orders': one begins with 'on COMMAND'"),
    (CLAIM + "\nqueue orders\n", 6, "there is a queue of that name already: 'orders'"),
    (ORDERS + "identiy id\n", 2,
     "a line begins with queue, identity, jobs or on, not with 'identiy'; did you mean 'identity'?"),
    (ORDERS + "identity queue\n", 2, "a queue's identity holds 'id' at least"),
    (ORDERS + "jobs forked\n", 2, "jobs are fork, serial, unique or pool, not 'forked'"),
    (ORDERS + "on LPOPP jobs\n", 2, "no command of Redis is called 'LPOPP'"),
    (ORDERS + "on LPOP|EVAL jobs\n", 2, "scripts and other commands do not go together: 'EVAL' needs a rule of its own"),
    (ORDERS + "on LPOP job:{id\n", 2, "a '{' has no '}' in '{id'"),
    (ORDERS + "on LPOP job:{job}\n", 2, "nothing is known by the name 'job'; '{*}' stands for anything"),
    (ORDERS + "on LPOP {queue}{id}\n", 2,
     "two captures follow each other: where 'id' begins cannot be told; put a letter between them"),
    (ORDERS + "on EVAL a:(b c\n", 2, "a '(' has no ')' at the end of 'a:(b c'"),
    (ORDERS + "on LPOP jobs\n    id from reply\n", 2,
     "this rule does not say what the command does: submit, save, claim, read, complete, fail, retry, ..."),
    (ORDERS + "on LPOP jobs\n    clam\n", 3, "a rule knows nothing of 'clam'; did you mean 'claim'?"),
    (ORDERS + "on LPOP jobs\n    claim\n    submit\n", 4,
     "a rule says one thing that the command does; this one says 'claim' already"),
    (ORDERS + "on LPOP jobs\n    claim\n", 2,
     "this rule does not tell the job's 'id', which is part of the queue's identity: capture it in a key, or add a line "
     "for it"),
    (CLAIM + CLAIM.replace(ORDERS, ""), 5,
     "this rule is never reached: the one in line 2 fits all of its commands; the narrower one goes first"),
    (CLAIM + "    type from\n", 5,
     "where the value stands is missing: argument N, argv N, field NAME, reply, reply N"),
    (CLAIM + "    type of reply 1\n", 5, "behind a name comes 'from' and a place, or 'is' and a word, not 'of'"),
    (CLAIM + "    type from replay 1\n", 5,
     "a value stands in argument, argv, field or reply, not in 'replay'; did you mean 'reply'?"),
    (CLAIM + "    type from argument 0\n", 5,
     "'argument' needs, with '-' from the end, a number from 1 to 63, not '0'"),
    (CLAIM + "    type from argv 1\n", 5,
     "'argv' is for scripts (EVAL, EVALSHA, FCALL); here the arguments are 'argument 1', 'argument 2', ..."),
    (CLAIM + "    type from reply 0\n", 5, "an answer's elements are counted from 1 to 255, not '0'"),
    (CLAIM + "    type from reply json a..b\n", 5,
     "this is no path of at most 8 names with 27 letters each: 'a..b'; names have '.' between them, '[]' is any element, "
     "'[-1]' at the end the last one, '*' any name"),
    (CLAIM + "    enqueued from reply 2\n", 5, "a time needs its unit: as ms, as s or as iso"),
    (CLAIM + "    enqueued from reply 2 as days\n", 5, "a time is given as ms, s or iso, not as 'days'"),
    (CLAIM + "    attempt is first\n", 5, "this is told as a number, not as 'first'"),
    (CLAIM + '    type is "big blue\n', 5, "this begins with a '\"' and does not end with one: 'big blue'"),
    (CLAIM + "    when reply equals 1\n", 5, "a condition goes on with 'is' or 'missing', not with 'equals'"),
    (CLAIM + "    stack from reply zlib\n", 5, "'zlib' is for a 'stack' that stands in a field"),
    (CLAIM + "on HDEL {*}\n    ack\n", 5, "an 'ack' needs the 'tag' that the job was handed out with"),
    (CLAIM + "    then claim\n    type is next\n", 5,
     "behind 'then' another job is told of: it needs an 'id' of its own"),
]


class Mistakes(case.Case):
    maxDiff = None

    def check_file(self, text: str) -> tuple[str, int, str]:
        path = self.new_path("mine.rules")
        path.write_text(text, encoding="utf-8")
        told = run([COMMAND, "rules", "check", path], clean_environment())
        return str(path), told.code, told.errors.decode()

    def test_each_is_told_with_file_line_and_reason(self):
        self.assertGreaterEqual(len({reason for _, _, reason in MISTAKES}), 20)
        for text, line, reason in MISTAKES:
            with self.subTest(reason):
                path, code, errors = self.check_file(text)
                self.assertEqual((code, errors), (1, f"{path}:{line}: {reason}\n"))


if __name__ == "__main__":
    case.main()
