#!/bin/sh
# Takes the README's pictures anew, with Chromium: docs/pictures/*.png.
set -eu
cd "$(dirname "$0")/../test"
TEST_ARTIFACTS=$(pwd)/../docs/pictures go test -count=1 -run TestPictureOf ./e2e
