#!/bin/sh
# Writes the configuration that Alertmanager reads to standard output: alertmanager.yml as it is, or with the webhook whose
# address is in HEADWAY_WEBHOOK_URL. Alertmanager itself expands no variables, and knows url_file only since 0.26.
#   render.sh FILE
set -eu

if [ -z "${HEADWAY_WEBHOOK_URL:-}" ]; then
    exec cat "$1"
fi
refuse() {
    echo "HEADWAY_WEBHOOK_URL cannot be used: $1" >&2
    exit 2
}
case $HEADWAY_WEBHOOK_URL in
    *[[:space:][:cntrl:]\"\\]*) refuse "it has a space, a quote or a backslash in it" ;;
    http://?* | https://?*) ;;
    *) refuse "it has to begin with http:// or https://" ;;
esac
# In the replacement of sed these three would mean something else than themselves.
url=$(printf '%s' "$HEADWAY_WEBHOOK_URL" | sed 's/[&|\\]/\\&/g')
sed -e "s|# webhook_configs:|webhook_configs:|" -e "/^    webhook_configs:/s|WEBHOOK_URL|$url|" "$1"
