#!/usr/bin/env python3
"""nginx as a proxy: a reply for one request makes room for another's."""

from fidelity import Front, Phase, PHASES, Suite, main, program

CONFIGURATION = """
daemon off; master_process {master}; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn; user root root;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream peer {{ server 127.0.0.1:{peer}; keepalive 3; }}
    server {{
        listen 127.0.0.1:PORT;
        location ~ ^/w/([^/]+)/ {{
            proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_pass http://peer/c/$1/0;
        }}
    }}
}}
"""


class Nginx(Suite):
    def proxy(self, name: str, master: str) -> None:
        configuration = self.new_path("nginx.conf")
        text = CONFIGURATION.format(folder=self.folder, peer=self.peer.port, master=master)
        configuration.write_text(text)
        self.check(Front(
            name, ["/bin/sh", "-c", f"sed -i s/PORT/{{port}}/ {configuration} && "
                   f"exec {program('nginx')} -p {self.folder} -c {configuration}"],
            phases=(*PHASES[:2], Phase("8", 8, 160), Phase("8, in step", 8, 160, in_step=True), PHASES[-1]),
            least={"seq": 0, "one": 1.0, "one, anew": 1.0, "one, again": 1.0},
        ))

    def test_proxy(self):
        self.proxy("nginx proxy", "on")


if __name__ == "__main__":
    main()
