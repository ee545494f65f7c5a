package api

// AdminPrefix is the path of the calls on Caddy's admin endpoint.
const AdminPrefix = "/sse_push/hubs"
