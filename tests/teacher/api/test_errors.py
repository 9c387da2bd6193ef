import numpy as np
import pytest

from teacher.api.errors import ApiError, error_reply
from teacher.api.schema import Verdicts

CASES = Verdicts(
    np.array([200, 400, 401, 403, 429, 429], np.int16),
    np.array([np.nan, np.nan, np.nan, np.nan, 11.2, np.nan], np.float32),
    np.array(["", "n: 2 is more than 1", "unknown_account", "account_disabled", "requests", "monthly_spend"], object),
    np.zeros(6, bool),
)


def test_openai_shape():
    reply = error_reply(CASES, 1, "req_1", "openai")
    assert reply.status == 400
    assert reply.headers["x-request-id"] == "req_1"
    assert reply.body == {
        "error": {"message": "n: 2 is more than 1", "type": "invalid_request_error", "param": "n", "code": None}
    }


def test_anthropic_shape():
    reply = error_reply(CASES, 4, "req_2", "anthropic")
    assert reply.headers == {"content-type": "application/json", "request-id": "req_2", "retry-after": "12"}
    assert reply.body["type"] == "error"
    assert reply.body["request_id"] == "req_2"
    assert reply.body["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("shape", ["anthropic", "openai"])
def test_only_a_rate_limit_says_when_to_come_back(shape):
    headers = [error_reply(CASES, row, "r", shape).headers for row in range(1, 6)]
    assert ["retry-after" in h for h in headers] == [False, False, False, True, False]


def test_admitted_rows_have_no_error():
    with pytest.raises(ValueError, match="admitted"):
        error_reply(CASES, 0, "r")


def test_exception_says_what_the_api_said():
    error = ApiError(error_reply(CASES, 3, "r"))
    assert error.status == 403
    assert "disabled" in str(error)
