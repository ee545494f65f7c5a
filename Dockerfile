# Caddy with sse_push, its brokers and Mercure: docker build -t caddy-sse-push .
# Static, without a shell, as a user who is nobody. The config is /etc/caddy/Caddyfile; ports below 1024 are not for it.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/caddy ./cmd/caddy
RUN mkdir /out/data /out/config

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/caddy /usr/bin/caddy
COPY --from=build --chown=nonroot:nonroot /out/data /data
COPY --from=build --chown=nonroot:nonroot /out/config /config
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config
VOLUME ["/data", "/config"]
EXPOSE 8080 8443 8443/udp
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/bin/caddy", "sse-push", "hubs"]
ENTRYPOINT ["/usr/bin/caddy"]
CMD ["run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
