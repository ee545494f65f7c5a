package harness

var varnish = kind{
	program: []string{"varnishd"},
	args: []string{
		// A secondary process of root would be another user, and a folder below /var.
		"-j none -F -n $DIR/varnish -a 127.0.0.1:$PORT -T none -f $DIR/default.vcl -s malloc,32m",
		"$[parameters]",
	},
	files: map[string]string{"default.vcl": `vcl 4.1;
backend default {
	.host = "$HUBHOST";
	.port = "$HUBPORT";
}
$[vcl]
`},
	places:    Lines{"vcl": "", "parameters": ""},
	cleartext: true,
}
