# The PHP examples behind PHP's own web server; from the repository's root, see examples/php/README.md.
{
	default_bind 127.0.0.1 # only this machine: the site below believes whoever says who he is
}

{$SITE_ADDRESS:http://localhost:8081} {
	sse_push /events {
		user query userId # any client can claim any name this way; chat/Caddyfile.* do it better
		anonymous # who names no user hears topics and broadcasts
		topics room ticker
		presence room 2s
		internal /_sse {
			allow loopback
		}
	}

	redir /ticker /ticker/
	handle_path /ticker/* {
		root examples/php/ticker/public
		file_server
	}
	handle /publish.php {
		reverse_proxy {$PHP_PUBLISH:127.0.0.1:9002} # php -S 127.0.0.1:9002 examples/php/publish.php
	}
	handle {
		reverse_proxy {$PHP_CHAT:127.0.0.1:9001} # php -S 127.0.0.1:9001 -t examples/php/chat/public
	}
}
