"""A certificate for tests, signed by itself: good for the names it is made for, and trusted by nobody who is not told to."""

import datetime
import ipaddress
from pathlib import Path


def make_certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    "PEM files of a certificate and its key, for host names and addresses"
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    def subject(name):
        try: return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError: return x509.DNSName(name)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    person = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    made = (x509.CertificateBuilder().subject_name(person).issuer_name(person).public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([subject(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256()))
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate, secret
