#!/bin/sh
# Runs Mercure's own conformance suite against this hub, with Debian's Chromium. It is not part of CI, since the suite is under the AGPL: it
# is run, and nothing of it is kept here.
#
#	git clone https://github.com/dunglas/mercure /somewhere
#	sh test/mercure_conformance.sh /somewhere/conformance-tests     # of HEAD, for 1.0, or of v0.24.2, for 0.x
#
# The suite signs with a secret that everyone knows, which this hub refuses: the script gives it tokens that are signed with another one.
set -eu
suite=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
port=${PORT:-8443}
work=$(mktemp -d)
pid=
trap 'kill $pid 2>/dev/null || true; rm -rf "$work"' EXIT

encode() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
secret=a-secret-of-the-conformance-tests-only
sign() { # sign <header> <claims>
	signed=$(printf %s "$1" | encode).$(printf %s "$2" | encode)
	printf %s.%s "$signed" "$(printf %s "$signed" | openssl dgst -sha256 -hmac "$secret" -binary | encode)"
}
if grep -q match_urlpattern "$suite/mercure.spec.ts"; then
	echo "the suite speaks 1.0"
	keys="issuer https://localhost {
			publisher {
				jwt $secret
			}
			subscriber {
				jwt $secret
			}
		}
		resource_identifier https://localhost/.well-known/mercure"
	all='"topics":[{"match":"*"}]}'
	detail='{"type":"https://mercure.rocks/authorization-detail","actions":["publish","subscribe"],'$all
	token=$(sign '{"alg":"HS256","typ":"at+jwt"}' '{"aud":"https://localhost/.well-known/mercure","iss":"https://localhost","exp":4102444800,"authorization_details":['"$detail"']}')
else
	echo "the suite speaks 0.x"
	keys="publisher_jwt $secret
		subscriber_jwt $secret"
	token=$(sign '{"alg":"HS256","typ":"JWT"}' '{"mercure":{"publish":["*"],"subscribe":["*"]}}')
fi

cp -r "$suite/." "$work"
sed -i "s/Bearer eyJ[A-Za-z0-9_.-]*/Bearer $token/" "$work/mercure.spec.ts"
grep -q "$token" "$work/mercure.spec.ts" || { echo "the suite has no token to replace"; exit 2; }
cat >"$work/debian.config.ts" <<END
import config from "./playwright.config";
export default {
  ...config, reporter: "list", workers: 1,
  projects: [{ name: "chromium", use: { launchOptions: { executablePath: "$(command -v chromium)", args: ["--no-sandbox"] } } }],
};
END
cat >"$work/Caddyfile" <<END
{
	admin off
	skip_install_trust
	auto_https disable_redirects
}
https://localhost:$port {
	tls internal
	sse_push {
		mercure {
			anonymous
			$keys
		}
	}
	respond / "here"
}
END
${GO:-go} build -o "$work/caddy" ./cmd/caddy
HOME=$work XDG_DATA_HOME=$work/data XDG_CONFIG_HOME=$work/config "$work/caddy" run --config "$work/Caddyfile" --adapter caddyfile >"$work/log" 2>&1 &
pid=$!
tries=0
until curl -fsk "https://localhost:$port/" >"$work/answer" 2>&1; do
	tries=$((tries + 1))
	if [ "$tries" -gt 100 ] || ! kill -0 $pid; then
		cat "$work/log"
		exit 2
	fi
	sleep 0.1
done
cd "$work"
[ -d node_modules ] || PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund
BASE_URL="https://localhost:$port/.well-known/mercure" CUSTOM_ID=1 npx playwright test --config debian.config.ts
