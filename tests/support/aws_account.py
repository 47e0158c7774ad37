"""moto's account in a test's own process, without what costs time and none of these tests needs."""

from moto import mock_aws
from moto.core import models

__all__ = ["mock_aws"]

# boto3 does not call AWS by `requests`, for which moto would make 1,300 callbacks at each start. Without them such a
# call is refused.
models.RESPONSES_METHODS.clear()
