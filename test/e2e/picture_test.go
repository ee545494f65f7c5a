package e2e_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// stage shows the demo to three users beside each other.
const stage = `(document.documentElement.innerHTML = '<head><style>' +
	'body { display: flex; gap: 10px; margin: 10px; background: #c3cad6; font: 600 13px system-ui, sans-serif }' +
	'figure { flex: 1; margin: 0; border-radius: 8px; overflow: hidden; background: #e4e7ed }' +
	'figcaption { padding: 7px 12px; color: #1b1f27 } iframe { display: block; border: 0; width: 100%; height: 640px }' +
	'</style></head><body>' + ['ann', 'ben', 'cleo'].map((user) =>
		'<figure><figcaption>' + user + '</figcaption><iframe src="/?user=' + user + '&other=ben"></iframe></figure>').join('') + '</body>', true)`

// The README's pictures; examples/pictures.sh keeps them.
func TestPictureOfPublish(t *testing.T) {
	t.Parallel()
	tab := harness.OpenTab(t, demo(t)+"/demo.css") // any document of the site
	tab.Look(1260, 694, false)
	harness.Eval[bool](tab, stage)
	page := func(n int, expression string) string {
		return fmt.Sprintf(`((document) => %s)(document.querySelectorAll('iframe')[%d].contentDocument)`, expression, n)
	}
	for n := range 3 {
		tab.Wait(page(n, `document.getElementById('state').dataset.state === 'open'`))
	}
	harness.Eval[bool](tab, page(0, `{
		const form = document.getElementById('publish'), { to, event, data } = form.elements;
		[to.value, event.value, data.value] = ['user', 'order', 'packed'];
		form.dispatchEvent(new Event('input'));
		form.querySelector('.primary').click();
		form.nextElementSibling.open = true;
		const command = document.getElementById('curl');
		command.textContent = command.textContent.replace(location.host, 'localhost:8080');
		return true;
	}`))
	tab.Wait(page(1, `document.querySelector('li[data-type=order] pre').textContent === 'packed'`))
	for n, card := range []string{"publishing", "arrived", "arrived"} {
		harness.Eval[bool](tab, page(n, `{ document.getElementById('`+card+`').closest('.card').scrollIntoView(); return true; }`))
		tab.Wait(page(n, `document.getAnimations().length === 0`))
	}
	tab.Screenshot("publish")
	for _, n := range []int{0, 2} {
		if harness.Eval[bool](tab, page(n, `!!document.querySelector('li[data-type=order]')`)) {
			t.Errorf("page %d has heard what was for ben", n)
		}
	}
}

func TestPictureOfInspector(t *testing.T) {
	t.Parallel()
	site := inspected(t)
	route := harness.Route{URL: site + "/_sse"}
	tab := openInspector(t, site)
	tab.Look(1400, 720, false)
	users := []string{"ann", "ben", "cleo", "dan", "eve", "finn", "gus", "hana"}
	for i, user := range users {
		harness.Open(t, site+"/events?"+url.Values{"userId": {user}, "topic": {fmt.Sprintf("orders/%d", 40+i), "public/news"}}.Encode())
	}
	for second := range 8 {
		for n := range 1 + (second*5)%7 {
			order := 40 + (second+n)%len(users)
			route.Publish(t, harness.Event{"topic": fmt.Sprintf("orders/%d", order), "event": "order", "data": map[string]any{"id": order, "state": "packed"}})
		}
		route.Publish(t, harness.Event{"user": users[second], "event": "note", "data": "Your order is on its way"})
		tab.Wait(fmt.Sprintf(`(document.querySelector('.line').getAttribute('d').match(/L/g) ?? []).length > %d`, second))
	}
	tab.Wait(`document.getElementById('rows').childElementCount === 8`)
	tab.Screenshot("inspector")
}
