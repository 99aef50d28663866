// SPDX-License-Identifier: Apache-2.0
// Part of tokendraw.hpp: errors, as values and as exceptions.
#ifndef TOKENDRAW_CPP_RESULT_HPP_
#define TOKENDRAW_CPP_RESULT_HPP_

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <utility>

#if defined(__cpp_exceptions)
#define TOKENDRAW_CPP_EXCEPTIONS 1
#else
#define TOKENDRAW_CPP_EXCEPTIONS 0
#endif

namespace tokendraw {

using Status = TokendrawStatus;

inline constexpr bool is_success(Status status) noexcept { return static_cast<int>(status) < 10; }

// A status and one sentence about it. Both the error of a Result and what the throwing functions throw. Its text is
// held inside and cut at 255 bytes, so that copying never allocates.
class Error : public std::exception {
 public:
  Error() noexcept = default;
  explicit Error(Status status, const char* message = "") noexcept : status_(status) {
    static_cast<void>(std::snprintf(message_, sizeof message_, "%s", message));
  }

  Status status() const noexcept { return status_; }
  const char* status_name() const noexcept { return tokendraw_status_name(status_); }
  const char* what() const noexcept override { return message_; }

 private:
  Status status_ = TOKENDRAW_OK;
  char message_[256] = {};
};

// A value or an Error. A success may carry a remark: status() is then TOKENDRAW_OK_CPU_FALLBACK and error() has its
// sentence.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value, const Error& remark = Error()) noexcept : error_(remark), value_(std::move(value)) {}
  Result(const Error& error) noexcept : error_(error) {}

  bool ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  Status status() const noexcept { return error_.status(); }
  const Error& error() const noexcept { return error_; }

  // Precondition: ok().
  T& operator*() & noexcept { return *value_; }
  const T& operator*() const& noexcept { return *value_; }
  T&& operator*() && noexcept { return *std::move(value_); }
  T* operator->() noexcept { return &*value_; }
  const T* operator->() const noexcept { return &*value_; }

#if TOKENDRAW_CPP_EXCEPTIONS
  // The value; throws error() where there is none.
  T value() && {
    if (!ok()) throw error_;
    return *std::move(value_);
  }
  const T& value() const& {
    if (!ok()) throw error_;
    return *value_;
  }
#endif

 private:
  Error error_;
  std::optional<T> value_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() noexcept = default;
  Result(const Error& error) noexcept : error_(error) {}

  bool ok() const noexcept { return is_success(error_.status()); }
  explicit operator bool() const noexcept { return ok(); }
  Status status() const noexcept { return error_.status(); }
  const Error& error() const noexcept { return error_; }

#if TOKENDRAW_CPP_EXCEPTIONS
  void value() const {
    if (!ok()) throw error_;
  }
#endif

 private:
  Error error_;
};

namespace detail {

// The sentence of this thread's last failing call, or its remark.
inline Error last_error(Status status) noexcept {
  return status == TOKENDRAW_OK ? Error() : Error(status, tokendraw_last_error_message());
}

// Runs `body`, which may allocate and returns a Result<T>.
template <class T, class Body>
Result<T> without_exceptions(Body&& body) noexcept {
#if TOKENDRAW_CPP_EXCEPTIONS
  try {
    return body();
  } catch (const std::exception&) {  // bad_alloc, or length_error for an impossible size
    return Error(TOKENDRAW_ERROR_OUT_OF_MEMORY, "there is not enough memory for the call's arrays");
  }
#else
  return body();
#endif
}

}  // namespace detail

}  // namespace tokendraw

#endif  // TOKENDRAW_CPP_RESULT_HPP_
