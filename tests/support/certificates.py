"""Certificates for servers on 127.0.0.1, made where they are needed."""
import pathlib
import subprocess


def make_certificate(folder, name: str) -> tuple[str, str]:
    """Makes NAME.pem (self-signed) and NAME.key in `folder`; returns their paths."""
    certificate, key = (str(pathlib.Path(folder, name + suffix)) for suffix in (".pem", ".key"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    return certificate, key
