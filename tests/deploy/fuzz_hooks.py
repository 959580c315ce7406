"""Read by schemathesis: what is changed in a request before it is sent."""

import schemathesis

# A worker that waits for tasks would use up the time there is.
WAIT_MS_MAX = 40


def whole(value):
    """JSON Schema takes 5.0 for an integer, and this contract does not."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [whole(one) for one in value]
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    case.body = whole(case.body)
    if isinstance(case.body, dict):
        wait = case.body.get("waitMs")
        if isinstance(wait, int) and not isinstance(wait, bool) and wait > WAIT_MS_MAX:
            case.body["waitMs"] = wait % WAIT_MS_MAX if wait <= 30_000 else wait
