#!/usr/bin/env -S python3 -I -S
"""Fake of the aws command, as far as a model is read from S3: a listing, one object's head, and signed addresses.

Put on PATH as `aws`; started without the site packages, which take long to find. FAKE_AWS_OBJECTS is a JSON file of
objects by key, each with `size`, `etag` and `part` (bytes); FAKE_AWS_STORAGE the address that keys are appended to.
Objects are refused when FAKE_AWS_DENIED is set.
"""

import itertools
import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Answer one call."""
    arguments = sys.argv[1:]
    options = dict(itertools.pairwise(arguments))
    objects = json.loads(Path(os.environ["FAKE_AWS_OBJECTS"]).read_text(encoding="utf-8"))
    if os.environ.get("FAKE_AWS_DENIED"):
        sys.stderr.write(
            "An error occurred (AccessDenied) when calling the ListObjectsV2 operation: User:"
            " arn:aws:sts::123456789012:assumed-role/some-role/i-1 is not authorized to perform: s3:ListBucket\n"
        )
        return 254
    if arguments[1] == "presign":
        sys.stdout.write(os.environ["FAKE_AWS_STORAGE"] + arguments[2].removeprefix("s3://").partition("/")[2] + "\n")
    elif arguments[1] == "head-object":
        sys.stdout.write(json.dumps({"ContentLength": objects[options["--key"]]["part"]}))
    else:
        contents = [{"Key": key, "Size": each["size"], "ETag": f'"{each["etag"]}"'} for key, each in objects.items()]
        sys.stdout.write(json.dumps({"Contents": contents}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
