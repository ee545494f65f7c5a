package harness

var nginxFront = kind{
	program: []string{"nginx"},
	args:    []string{"-p $DIR -e stderr -c $DIR/nginx.conf"},
	files:   map[string]string{"nginx.conf": nginxConfig},
	places: Lines{
		"http":   nginxServer,
		"shared": "",
		"server": `location /events {
			proxy_pass http://hub:8080;
			$[location]
		}`,
		"location": "",
	},
	cleartext: true, encrypted: true,
}

const nginxServer = `
	$[shared]
	server {
		listen 127.0.0.1:$PORT;
		listen 127.0.0.1:$TLSPORT ssl http2;
		ssl_certificate $CERT;
		ssl_certificate_key $KEY;
		$[server]
	}`

// nginxTwice is nginx in front of another one, both in one process.
var nginxTwice = kind{
	program: nginxFront.program,
	args:    nginxFront.args,
	files:   nginxFront.files,
	places: Lines{
		"http": nginxServer + `
	server {
		listen inner:8080;
		location /events {
			proxy_pass http://hub:8080;
			$[inner location]
		}
	}`,
		"shared": "",
		"server": `location /events {
			proxy_pass http://inner:8080;
			$[location]
		}`,
		"location":       "",
		"inner location": "",
	},
	cleartext: true, encrypted: true,
}
