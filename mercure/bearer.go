package mercure

import (
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// cookieNames are the names of the cookie with the token, by version.
var cookieNames = [...]string{access.V0: "mercureAuthorization", access.V1: "__Secure-mercure_access_token"}

// cookie returns the name of the cookie with tokens of a version.
func (e *endpoint) cookie(v access.Version) string {
	if e.cookieName != "" {
		return e.cookieName
	}
	return cookieNames[v]
}

// subscriber returns what the token of a subscriber grants, who speaks a version; nil if there is no token and the hub takes clients
// without one. query has the parameters of the URL.
func (e *endpoint) subscriber(r *http.Request, v access.Version, query url.Values) (*access.Grant, *problem.Problem) {
	token, presented, p := e.header(r)
	if p == nil && !presented && v == access.V0 {
		token, presented = query.Get("authorization"), query.Get("authorization") != ""
	}
	if p == nil && !presented {
		token, presented, p = e.fromCookie(r, v)
	}
	switch {
	case p != nil:
		return nil, p
	case !presented && e.anonymous:
		return nil, nil
	case !presented:
		return nil, e.missingToken()
	}
	return e.authorize(r, v, access.ToSubscribe, token)
}

// publisher returns what the token of a publisher grants, and the version that the publisher speaks: that of the token. query has the
// parameters of the URL.
func (e *endpoint) publisher(r *http.Request, query url.Values) (*access.Grant, access.Version, *problem.Problem) {
	return e.bearer(r, query, access.ToPublish, e.publishersCookie)
}

// reader is publisher for a client that asks about subscriptions, by a subscriber's token.
func (e *endpoint) reader(r *http.Request, query url.Values) (*access.Grant, access.Version, *problem.Problem) {
	return e.bearer(r, query, access.ToSubscribe, e.anyCookie)
}

// bearer returns what the token of a client grants for a use, and the token's version. cookie returns the token in a cookie.
func (e *endpoint) bearer(r *http.Request, query url.Values, u access.Use, cookie func(*http.Request) (string, access.Version, *problem.Problem)) (
	*access.Grant, access.Version, *problem.Problem,
) {
	token, presented, p := e.header(r)
	v := e.keys.VersionOf(token)
	if p == nil && !presented {
		if token = query.Get("authorization"); token != "" && e.keys.Speaks(access.V0) {
			v = access.V0
		} else {
			token, v, p = cookie(r)
		}
	}
	if p == nil && token == "" {
		p = e.missingToken()
	}
	if p != nil {
		return nil, v, p
	}
	g, p := e.authorize(r, v, u, token)
	return g, v, p
}

// publishersCookie returns the token in a publisher's cookie; "" if there is none. Any page can make a browser send a POST with the
// user's cookies, so the page's origin has to be listed.
func (e *endpoint) publishersCookie(r *http.Request) (token string, v access.Version, p *problem.Problem) {
	token, v, p = e.anyCookie(r)
	if p == nil && token != "" && !e.isPublishOrigin(r) {
		p = problem.New(http.StatusForbidden, "pages of this origin may not publish by a cookie (publish_origins)")
	}
	return token, v, p
}

// anyCookie returns the token in the cookie of either version, and the version; "" if there is none.
func (e *endpoint) anyCookie(r *http.Request) (token string, v access.Version, p *problem.Problem) {
	for _, v := range []access.Version{access.V1, access.V0} {
		if !e.keys.Speaks(v) {
			continue
		}
		token, presented, p := e.fromCookie(r, v)
		if !presented && p == nil {
			continue
		}
		if e.cookieName != "" {
			v = e.keys.VersionOf(token)
		}
		return token, v, p
	}
	return "", e.keys.Newest(), nil
}

// isPublishOrigin reports whether a request comes from a page of a listed origin.
func (e *endpoint) isPublishOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 { // some browsers leave it out of requests to the page's own origin
		if referers := r.Header["Referer"]; len(referers) == 1 {
			if u, err := url.Parse(referers[0]); err == nil && u.Host != "" {
				origins = []string{u.Scheme + "://" + u.Host}
			}
		}
	}
	return len(origins) == 1 && slices.Contains(e.publishOrigins, origins[0])
}

// header returns the token in the Authorization header, and whether there is one. Other schemes than Bearer are not the hub's.
func (e *endpoint) header(r *http.Request) (token string, presented bool, p *problem.Problem) {
	tokens := identity.Bearer(r.Header["Authorization"])
	if len(tokens) > 1 {
		return "", true, e.invalidRequest("the Authorization header is given more than once")
	}
	if len(tokens) == 0 {
		return "", false, nil
	}
	return tokens[0], true, nil
}

// fromCookie returns the token in the cookie of a version, and whether there is one.
func (e *endpoint) fromCookie(r *http.Request, v access.Version) (token string, presented bool, p *problem.Problem) {
	values := slices.DeleteFunc(request.Cookies(r, e.cookie(v)), func(value string) bool { return value == "" })
	switch {
	case len(values) == 0:
		return "", false, nil
	case len(values) > 1:
		return "", true, e.invalidRequest("the cookie " + e.cookie(v) + " is given more than once")
	}
	return values[0], true, nil
}

// authorize returns what a token grants that was presented.
func (e *endpoint) authorize(r *http.Request, v access.Version, u access.Use, token string) (*access.Grant, *problem.Problem) {
	g, err := e.keys.Verify(r.Context(), v, u, token)
	if err == nil {
		return g, nil
	}
	if r.Context().Err() == nil { // otherwise the client has left, and nothing is wrong with its token
		remote, _ := request.ClientAddress(r)
		e.complaints.Log(e.log, zap.WarnLevel, "mercure: token refused: "+err.Error(), zap.String("remote", remote))
	}
	if p := identity.Temporary(err); p != nil {
		return nil, p
	}
	return nil, e.invalidToken()
}
