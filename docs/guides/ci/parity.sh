#!/bin/sh
# Parity from cron or any CI that runs a shell. Copy it, set the variables, and act on the exit code:
# 0 parity holds, 1 it could not be compared, 2 wrong usage, 3 it is violated, 130 interrupted.
set -eu

: "${FEATURE_REPO:=feature_repo}"
: "${FEATURE_SERVICE:=churn_v1}"
: "${GATEWAY:=http://127.0.0.1:6566}"
: "${REPORTS:=parity}"

mkdir -p "$REPORTS"
set -- --repo "$FEATURE_REPO" --feature-service "$FEATURE_SERVICE" --gateway "$GATEWAY"
if [ -f "${WAIVERS:-parity_waivers.toml}" ]; then
  set -- "$@" --waivers "${WAIVERS:-parity_waivers.toml}"
fi
if [ -f "$REPORTS/previous.json" ]; then
  set -- "$@" --previous "$REPORTS/previous.json"
fi

code=0
evenstore-parity live "$@" --max-rows-per-s "${MAX_ROWS_PER_S:-500}" \
  --json "$REPORTS/report.json" --junit "$REPORTS/junit.xml" --markdown "$REPORTS/summary.md" \
  --parquet "$REPORTS/cells.parquet" --prometheus "$REPORTS/parity.prom" || code=$?

# Only a comparison that was made is one to compare with.
if [ "$code" -eq 0 ] || [ "$code" -eq 3 ]; then
  cp "$REPORTS/report.json" "$REPORTS/previous.json"
fi
exit "$code"
