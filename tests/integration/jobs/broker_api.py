"""The submitting side of a brokered queue: a hash, then a sorted set, one call after the other.
usage: PORT COUNT CARRIES; ids on stdout, with the context that the job carries."""

import json
import secrets
import sys
import uuid

import redis

port, count, carries = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
client = redis.Redis(port=port)
for number in range(count):
    job = f"job-{uuid.uuid4()}"
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    fields = {
        "id": job, "service_required": "openai_image", "priority": 75, "created_at": "2026-11-21T10:00:00.000Z",
        "retry_count": 0, "customer_id": "customer-1", "status": "pending",
        "payload": json.dumps({"prompt": "x" * 3000, "fails": number % 3 == 2}),
        "job_trace_id": "", "job_span_id": "", "workflow_trace_id": "", "workflow_span_id": "",
    }
    if carries == "job":
        fields |= {"job_trace_id": trace, "job_span_id": span, "workflow_trace_id": secrets.token_hex(16),
                   "workflow_span_id": secrets.token_hex(8)}
    elif carries == "workflow":
        fields |= {"workflow_trace_id": trace, "workflow_span_id": span, "workflow_id": "wf_123", "step_number": 1,
                   "total_steps": 3}
    elif carries == "traceparent":
        fields["traceparent"] = f"00-{trace}-{span}-01"
    elif carries == "void":
        fields |= {"job_trace_id": "0" * 32, "job_span_id": span, "traceparent": "00-xyz"}
    client.hset(f"job:{job}", mapping=fields)
    client.zadd("jobs:pending", {job: 75})
    print(job, trace, span, flush=True)
