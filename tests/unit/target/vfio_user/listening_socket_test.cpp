// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/vfio_user/listening_socket.hpp>
#include <support/skip.hpp>
#include <support/vfio_user_peer.hpp>

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <string>

using namespace nkv;
using nkv_test::peer;
using target::vfio_user::listening_socket;

namespace {

bool exists(const std::string& path) {
  struct stat s{};
  return ::lstat(path.c_str(), &s) == 0;
}
unsigned mode_of(const std::string& path) {
  struct stat s{};
  return ::lstat(path.c_str(), &s) == 0 ? s.st_mode & 07777u : 0;
}

}  // namespace

TEST_SUITE("target/vfio_user/listening_socket") {
  TEST_CASE("open: the folder is made 0700, the socket has the mode, both ways to name it") {
    nkv_test::temporary_folder base;
    const std::string folder = base.path() + "/d";
    {
      listening_socket s;
      REQUIRE(s.open(folder, 0600).ok());
      CHECK(s.path() == folder + "/cntrl");
      CHECK(mode_of(folder) == 0700);
      CHECK(mode_of(folder + "/cntrl") == 0600);
      CHECK(peer::connect(folder + "/cntrl").fd() >= 0);
    }
    CHECK_FALSE(exists(folder + "/cntrl"));
    {
      listening_socket s;
      REQUIRE(s.open(folder + "/cntrl", 0666).ok());
      CHECK(mode_of(folder + "/cntrl") == 0666);
    }
    {
      listening_socket s;
      REQUIRE(s.open(folder + "//", 0600).ok());
    }
    ::rmdir(folder.c_str());
  }

  TEST_CASE("open: a live server -> busy; a dead one's socket is taken over") {
    nkv_test::temporary_folder folder;
    const std::string path = folder.path() + "/cntrl";
    SUBCASE("one of ours") {
      listening_socket first;
      REQUIRE(first.open(folder.path(), 0600).ok());
      listening_socket second;
      CHECK(second.open(folder.path(), 0600) == status{client_status::busy});
      // The refusal took nothing from the first.
      second.close();
      CHECK(peer::connect(path).fd() >= 0);
    }
    SUBCASE("of another make") {
      const host::unique_fd foreign(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      auto address = host::vfio_user::socket_address::of(path);
      REQUIRE(address);
      REQUIRE(::bind(foreign.get(), address->get(), address->size()) == 0);
      REQUIRE(::listen(foreign.get(), 1) == 0);
      listening_socket s;
      CHECK(s.open(folder.path(), 0600) == status{client_status::busy});
      CHECK(exists(path));
    }
    SUBCASE("killed") {
      const pid_t child = ::fork();
      if (child == 0) {
        auto* s = new listening_socket;
        ::_exit(s->open(folder.path(), 0600).ok() ? 0 : 1);
      }
      int how = 1;
      REQUIRE(::waitpid(child, &how, 0) == child);
      REQUIRE(how == 0);
      REQUIRE(exists(path));
      listening_socket s;
      CHECK(s.open(folder.path(), 0600).ok());
      CHECK(peer::connect(path).fd() >= 0);
    }
  }

  TEST_CASE("open: a server that is only just starting -> busy, though its socket is not there yet") {
    nkv_test::temporary_folder folder;
    const host::unique_fd lock(::open((folder.path() + "/cntrl.lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    REQUIRE(::flock(lock.get(), LOCK_EX | LOCK_NB) == 0);
    listening_socket s;
    CHECK(s.open(folder.path(), 0600) == status{client_status::busy});
    CHECK(exists(folder.path() + "/cntrl.lock"));
  }

  TEST_CASE("open: a stale socket of another user -> EPERM, and it stays") {
    if (::geteuid() != 0) return nkv_test::skip("needs root to make another user's socket");
    nkv_test::temporary_folder folder;
    const std::string path = folder.path() + "/cntrl";
    {
      const host::unique_fd stale(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      auto address = host::vfio_user::socket_address::of(path);
      REQUIRE(address);
      REQUIRE(::bind(stale.get(), address->get(), address->size()) == 0);
    }
    REQUIRE(::chown(path.c_str(), 12345, 12345) == 0);
    listening_socket s;
    const status refused = s.open(folder.path(), 0600);
    CHECK(refused == status{client_status::system_error});
    CHECK(refused.detail() == EPERM);
    CHECK(exists(path));
  }

  TEST_CASE("open: what is no socket is left alone") {
    nkv_test::temporary_folder folder;
    const std::string path = folder.path() + "/cntrl";
    const host::unique_fd file(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    listening_socket s;
    CHECK(s.open(folder.path(), 0600) == status{client_status::bad_argument});
    CHECK(s.open("", 0600) == status{client_status::bad_argument});
    CHECK(s.open(folder.path() + "/no/folder", 0600) == status{client_status::not_found});
    CHECK(exists(path));
    CHECK_FALSE(exists(path + ".lock"));
  }

  TEST_CASE("close: a socket that somebody else has put in its place stays") {
    nkv_test::temporary_folder folder;
    const std::string path = folder.path() + "/cntrl";
    listening_socket s;
    REQUIRE(s.open(folder.path(), 0600).ok());
    REQUIRE(::unlink(path.c_str()) == 0);
    const host::unique_fd other(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    s.close();
    CHECK(exists(path));
  }
}
