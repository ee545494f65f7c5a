package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sse-push/caddy-sse-push/internal/jsontext"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	maxFormFields = 10_000
	maxFormDepth  = 32 // of brackets
)

// form holds the fields of a form or a query, with arrays as PHP writes them: `name[key]=` and `name[]=`.
type form struct {
	maxEvent int64
	names    []string // in the order sent
	roots    []*formValue
	count    int
}

// formValue is a text or a PHP array, which has texts and arrays under keys.
type formValue struct {
	isText bool
	str    string

	keys  []string // in the order sent
	byKey map[string]*formValue
	list  bool  // the keys are 0, 1, 2 and so on, in order
	next  int64 // the key that [] stands for
}

// parseQuery adds the fields of a query or a urlencoded body.
func (f *form) parseQuery(s string) *problem.Problem {
	for s != "" {
		var pair string
		pair, s, _ = strings.Cut(s, "&")
		if pair == "" {
			continue
		}
		name, val, _ := strings.Cut(pair, "=")
		plainName, err := url.QueryUnescape(name)
		if err != nil {
			return problem.Field(name, "has a broken percent-encoding in its name")
		}
		plainValue, err := url.QueryUnescape(val)
		if err != nil {
			return problem.Field(plainName, "has a broken percent-encoding")
		}
		if p := f.add(plainName, plainValue); p != nil {
			return p
		}
	}
	return nil
}

// parseMultipart adds the fields of a multipart/form-data body, whose length the reader bounds.
func (f *form) parseMultipart(body io.Reader, boundary string) *problem.Problem {
	if boundary == "" {
		return problem.New(http.StatusBadRequest, "the Content-Type has no boundary")
	}
	parts := multipart.NewReader(body, boundary)
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return multipartProblem(err)
		}
		disposition, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil || disposition != "form-data" {
			return problem.New(http.StatusBadRequest, "a part of the body has no Content-Disposition: form-data with a name")
		}
		name := params["name"]
		if _, file := params["filename"]; file {
			return problem.Field(name, "must not be a file")
		}
		in := io.Reader(part)
		if rootName(name) == "data" {
			in = io.LimitReader(part, f.maxEvent+1)
		}
		val, err := io.ReadAll(in)
		if err != nil {
			return multipartProblem(err)
		}
		if rootName(name) == "data" && int64(len(val)) > f.maxEvent {
			return dataTooLong(f.maxEvent)
		}
		if p := f.add(name, string(val)); p != nil {
			return p
		}
	}
}

// multipartProblem returns the problem of an error in reading a multipart body.
func multipartProblem(err error) *problem.Problem {
	p := problem.OfBody(err)
	if p.Status == http.StatusBadRequest {
		p.Detail = "the multipart body is broken or cut off"
	}
	return p
}

// rootName returns the name of the field that a name such as data[a][b] belongs to.
func rootName(name string) string {
	root, _, _ := strings.Cut(name, "[")
	return root
}

// add adds one field, such as data[a][b].
func (f *form) add(name, val string) *problem.Problem {
	if f.count++; f.count > maxFormFields {
		return problem.New(http.StatusRequestEntityTooLarge, "the form must not hold more than %d fields", maxFormFields)
	}
	if LooksLikeJSON([]byte(name)) {
		return jsonAsForm()
	}
	root := rootName(name)
	if fields[root] == nil {
		return unknownField(root)
	}
	if !utf8.ValidString(name) || !utf8.ValidString(val) {
		return problem.Field(root, "must be valid UTF-8")
	}
	at := slices.Index(f.names, root)
	if at < 0 {
		at = len(f.names)
		f.names = append(f.names, root)
		f.roots = append(f.roots, new(formValue))
	}
	if err := f.roots[at].put(name[len(root):], val); err != nil {
		return problem.Field(root, "%s", err)
	}
	return nil
}

// put stores a text under a path such as [a][b].
func (v *formValue) put(path, text string) error {
	for depth := 0; path != ""; depth++ {
		if depth == maxFormDepth {
			return errors.New("must not be nested deeper than " + strconv.Itoa(maxFormDepth))
		}
		end := strings.IndexByte(path, ']')
		if path[0] != '[' || end < 0 {
			return errors.New("has broken brackets in its name")
		}
		if v.isText {
			return errors.New("is given twice, as a text and as an array")
		}
		v = v.child(path[1:end])
		path = path[end+1:]
	}
	switch {
	case v.isText:
		return errors.New("is given twice")
	case v.byKey != nil:
		return errors.New("is given twice, as a text and as an array")
	}
	v.isText, v.str = true, text
	return nil
}

// child returns the value under a key of an array, and creates it if there is none.
func (v *formValue) child(key string) *formValue {
	if v.byKey == nil {
		v.byKey, v.list = make(map[string]*formValue), true
	}
	if key == "" {
		key = strconv.FormatInt(v.next, 10)
	}
	if c := v.byKey[key]; c != nil {
		return c
	}
	c := new(formValue)
	v.list = v.list && key == strconv.Itoa(len(v.keys))
	v.keys = append(v.keys, key)
	v.byKey[key] = c
	if n, ok := arrayIndex(key); ok {
		v.next = max(v.next, n+1)
	}
	return c
}

// arrayIndex returns the number of a key that PHP treats as one. It rejects keys longer than any real index, so that counting
// on from them cannot overflow.
func arrayIndex(key string) (int64, bool) {
	n, err := strconv.ParseInt(key, 10, 64)
	return n, err == nil && n >= 0 && len(key) <= 15 && strconv.FormatInt(n, 10) == key
}

// fill sets the fields of an event.
func (f *form) fill(pub *publication) *problem.Problem {
	for i, name := range f.names {
		if p := pub.set(fields[name], f.roots[i]); p != nil {
			return p
		}
	}
	return nil
}

func (v *formValue) IsNull() bool { return false }

// Text returns a copy, so that the body can be freed.
func (v *formValue) Text() (string, error) {
	if !v.isText {
		return "", errors.New("must be a string, got an array")
	}
	return strings.Clone(v.str), nil
}

func (v *formValue) Name() (string, error) { return v.Text() }

func (v *formValue) Names() ([]string, error) { return v.Texts() }

// Texts accepts any numbers as keys, since PHP's array_filter and array_unique leave holes.
func (v *formValue) Texts() ([]string, error) {
	if v.isText {
		return []string{strings.Clone(v.str)}, nil
	}
	list := make([]string, 0, len(v.keys))
	for i, key := range v.keys {
		if _, ok := arrayIndex(key); !ok {
			return nil, errors.New("must be a list, but has the key " + strconv.Quote(problem.Clip(key)))
		}
		s, err := v.byKey[key].Text()
		if err != nil {
			return nil, jsontext.ItemError(i, err)
		}
		list = append(list, s)
	}
	return list, nil
}

func (v *formValue) Number() (int64, error) {
	if !v.isText {
		return 0, errors.New("must be a number, got an array")
	}
	if strings.ContainsFunc(v.str, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, errors.New("must be a whole number")
	}
	return jsontext.ParseWhole(v.str)
}

func (v *formValue) Boolean() (bool, error) {
	if v.isText {
		switch v.str {
		case "1", "true":
			return true, nil
		case "0", "false":
			return false, nil
		}
	}
	return false, errors.New("must be 1, true, 0 or false")
}

// Data returns a text as it is, and an array as PHP's json_encode writes it, with all values as strings.
func (v *formValue) Data() ([]byte, error) {
	if v.isText {
		return []byte(v.str), nil
	}
	var b bytes.Buffer
	v.writeJSON(&b)
	return bytes.Clone(b.Bytes()), nil
}

func (v *formValue) writeJSON(b *bytes.Buffer) {
	if v.isText {
		writeJSONString(b, v.str)
		return
	}
	open, shut := byte('{'), byte('}')
	if v.list {
		open, shut = '[', ']'
	}
	b.WriteByte(open)
	for i, key := range v.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if !v.list {
			writeJSONString(b, key)
			b.WriteByte(':')
		}
		v.byKey[key].writeJSON(b)
	}
	b.WriteByte(shut)
}

func writeJSONString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)       // a string into memory
	b.Truncate(b.Len() - 1) // the newline
}

// LooksLikeJSON reports whether a body of another type seems to be JSON.
func LooksLikeJSON(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && (b[0] == '{' || b[0] == '[')
}

// jsonAsForm returns the problem of a form that looks like JSON.
func jsonAsForm() *problem.Problem {
	return problem.New(http.StatusBadRequest, "the body looks like JSON but was sent as a form: send Content-Type: application/json")
}
