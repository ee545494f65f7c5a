package harness

var varnish = kind{
	program: []string{"varnishd"},
	args: []string{
		// A secondary process of root would be another user, and a folder below /var.
		"-j none -F -n $DIR/varnish -a 127.0.0.1:$PORT -T none -f $DIR/default.vcl -s malloc,32m",
		// Without optimization, so that a busy machine compiles the configuration in time. A shell puts blanks in place of ${IFS}.
		"-p cc_command=exec${IFS}gcc${IFS}-fpic${IFS}-shared${IFS}-o${IFS}%o${IFS}%s",
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
