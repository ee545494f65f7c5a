# FrankenPHP with sse_push and Mercure: docker build -f deploy/frankenphp.Dockerfile -t frankenphp-sse-push .
# As a user without rights: ports below 1024 are not for it. The config is /etc/frankenphp/Caddyfile.
FROM dunglas/frankenphp:builder AS build
COPY --from=caddy:builder /usr/bin/xcaddy /usr/bin/xcaddy
COPY . /src
RUN CGO_ENABLED=1 XCADDY_GO_BUILD_FLAGS="-tags nobadger,nomysql,nopgx,nowatcher,nobrotli" \
	CGO_CFLAGS="$(php-config --includes)" CGO_LDFLAGS="$(php-config --ldflags) $(php-config --libs)" \
	xcaddy build --output /usr/local/bin/frankenphp \
	--with github.com/dunglas/frankenphp/caddy \
	--with github.com/sse-push/caddy-sse-push=/src \
	--with github.com/sse-push/caddy-sse-push/mercure

FROM dunglas/frankenphp:latest
COPY --from=build /usr/local/bin/frankenphp /usr/local/bin/frankenphp
RUN chown -R www-data:www-data /data/caddy /config/caddy
USER www-data
